/* RFC 6455 framing as a client needs it. */
#ifndef LOAD_FRAMES_H
#define LOAD_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opcode { OPCODE_TEXT = 1, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

#define MAX_FRAME_HEAD 14

struct frame {
    bool is_final;
    bool is_reserved_set;
    int opcode;
    const unsigned char *payload;
    size_t length;
    size_t total; /* head and payload */
};

/* Returns false if the bytes do not hold a whole frame yet. */
bool frame_read(const unsigned char *bytes, size_t available, struct frame *frame);

/* Writes one masked frame; target has room for length + MAX_FRAME_HEAD bytes. Returns its size. */
size_t frame_write(unsigned char *target, enum opcode opcode, const void *payload, size_t length);

#endif
