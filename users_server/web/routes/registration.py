"""Registration, new passwords and addresses, messages to the webmaster. Rows of the route table."""

from __future__ import annotations

from dataclasses import replace

from users_server.schemas.registration import (
    EmailChangeInput,
    LinkQuery,
    PasswordChangeInput,
    PasswordResetInput,
    RegisterAnswer,
    RegisterInput,
    WebmasterInput,
)
from users_server.services.audit import Action
from users_server.web.rest import emails, passwords, registration
from users_server.web.route import Route, Who

RESEND_ACTIVATION = Route(
    "POST",
    "/users/:user/resend-activation",
    registration.resend_activation,
    Who.ALL,
    summary="Mail a new activation link; the answer does not tell whether there is such an account",
    message="An activation link has been sent, please check your email for further instructions",
    tag="registration",
)

REQUEST_PASSWORD_RESET = Route(
    "POST",
    "/users/:user/request-password-reset",
    passwords.request_password_reset,
    Who.ALL,
    summary="Mail a key for a new password; the answer does not tell whether there is such an account",
    message="Instructions have been sent to your email on how to change your password",
    tag="registration",
    action=Action.PASSWORD_RESET_REQUESTED,
)

FOR_EXISTING_CLIENTS = "The same, for existing clients; POST is the better choice"

REGISTRATION = (
    Route(
        "POST",
        "/users/register",
        registration.register,
        Who.ALL,
        summary="Make an account; a link that activates it is mailed",
        message="Please activate your account with the link sent to your email address",
        tag="registration",
        request=RegisterInput,
        answer=RegisterAnswer,
        failure={"authenticated": False},
    ),
    RESEND_ACTIVATION,
    replace(RESEND_ACTIVATION, method="GET", summary=FOR_EXISTING_CLIENTS, changes_state=True),
    Route(
        "GET",
        "/activate-account",
        registration.activate_account,
        Who.ALL,
        summary="Activate an account by the link that was mailed, and lead to accountRedirectURL if there is one",
        message="Your account has been activated",
        tag="registration",
        query=LinkQuery,
        changes_state=True,
        is_link=True,
    ),
    REQUEST_PASSWORD_RESET,
    replace(REQUEST_PASSWORD_RESET, method="GET", summary=FOR_EXISTING_CLIENTS, changes_state=True),
    Route(
        "PUT",
        "/password-reset",
        passwords.reset_password,
        Who.ALL,
        summary="Set a new password by the key that was mailed; all sessions end",
        message="Your password has been reset",
        tag="registration",
        action=Action.PASSWORD_RESET,
        request=PasswordResetInput,
    ),
    Route(
        "PUT",
        "/users/:user/password",
        passwords.change_password,
        Who.OWNER,
        summary="Set a new password by the old one; all sessions end, and the caller gets a new one",
        message="Your password has been changed",
        tag="registration",
        action=Action.PASSWORD_CHANGED,
        request=PasswordChangeInput,
    ),
    Route(
        "PUT",
        "/users/:user/email",
        emails.change_email,
        Who.OWNER,
        summary="Mail a link that confirms a new address; until then the old one stays",
        message="Please confirm your address with the link sent to it",
        tag="registration",
        action=Action.EMAIL_CHANGE_REQUESTED,
        request=EmailChangeInput,
    ),
    Route(
        "GET",
        "/confirm-email",
        emails.confirm_email,
        Who.ALL,
        summary="Confirm a new address by the link that was mailed, and lead to accountRedirectURL if there is one",
        message="Your address has been changed",
        tag="registration",
        query=LinkQuery,
        changes_state=True,
        is_link=True,
    ),
    Route(
        "POST",
        "/message-webmaster",
        emails.message_webmaster,
        Who.ALL,
        summary="Send a message to whoever runs this site",
        message="Your message has been sent to the support team",
        tag="registration",
        request=WebmasterInput,
    ),
)
