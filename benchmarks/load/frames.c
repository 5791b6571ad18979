#include "frames.h"

#include <string.h>

bool frame_read(const unsigned char *bytes, size_t available, struct frame *frame)
{
    size_t head = 2;
    if (available < head)
        return false;
    uint64_t length = bytes[1] & 0x7f;
    int extended = length == 126 ? 2 : length == 127 ? 8 : 0;
    head += (size_t)extended;
    if (available < head)
        return false;
    if (extended) {
        length = 0;
        for (int i = 0; i < extended; i++)
            length = length << 8 | bytes[2 + i];
    }
    if (length > available - head)
        return false;
    *frame = (struct frame){
        .is_final = bytes[0] & 0x80,
        .is_reserved_set = bytes[0] & 0x70,
        .opcode = bytes[0] & 0x0f,
        .payload = bytes + head,
        .length = (size_t)length,
        .total = head + (size_t)length,
    };
    return true;
}

size_t frame_write(unsigned char *target, enum opcode opcode, const void *payload, size_t length)
{
    /* A fixed mask will do against our own servers; it is not zero, so that they have to unmask as from a browser. */
    static const unsigned char mask[4] = {0x5a, 0x21, 0xc7, 0x93};
    const unsigned char *source = payload;
    size_t head = 2;

    target[0] = (unsigned char)(0x80 | opcode);
    if (length < 126) {
        target[1] = (unsigned char)(0x80 | length);
    } else if (length < 65536) {
        target[1] = 0x80 | 126;
        target[2] = (unsigned char)(length >> 8);
        target[3] = (unsigned char)length;
        head = 4;
    } else {
        target[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            target[2 + i] = (unsigned char)((uint64_t)length >> (56 - 8 * i));
        head = 10;
    }
    memcpy(target + head, mask, sizeof mask);
    head += sizeof mask;
    for (size_t i = 0; i < length; i++)
        target[head + i] = source[i] ^ mask[i & 3];
    return head + length;
}
