"""Why something was refused, for a person, in their language."""

from services.auth.pages.words import say
from services.auth.parts import here
from shared.errors import Problem, TooManyRequests, Unavailable


def reason(problem: Problem) -> str:
    """Why, for the person, in their language."""
    match problem.code:
        case _ if isinstance(problem, TooManyRequests):
            return say("Too many tries. Wait a moment, then try again.")
        case "provider_unavailable":
            return say("The other service does not answer now. Try again in a moment.")
        case "provider_refused":
            return say("The other service did not let you in.")
        case "provider_email_needs_verification":
            return say("That account has no confirmed e-mail address. Choose another way to log in.")
        case "bad_id_token" | "bad_oauth_callback" | "unexpected_failure":
            return say("That did not work. Try again.")
        case _ if isinstance(problem, Unavailable):
            return say("Too many people are logging in just now. Try again in a moment.")
        case "captcha_failed" if not here.settings.captcha_site_key:
            return say("This page cannot show that you are no robot. Log in with a passkey, or with the app.")
        case "captcha_failed":
            return say("Show that you are no robot, then try again.")
        case "form_token_invalid":
            return say("The page was open for too long, or your browser keeps no cookies. Try again.")
        case "email_not_confirmed" | "phone_not_confirmed":
            return say("Your address is not confirmed yet. Have a code sent to it.")
        case "user_banned":
            return say("This account is blocked.")
        case "invalid_credentials":
            return say("Address or password is wrong.")
        case "otp_expired" | "mfa_verification_failed":
            return say("This code is wrong, or too old.")
        case "webauthn_challenge_expired" | "mfa_challenge_expired" | "webauthn_challenge_not_found":
            return say("That took too long. Try again.")
        case "webauthn_verification_failed":
            return say("This key could not be verified.")
        case "weak_password":
            return _too_weak(problem)
        case "not_an_address":
            return say("Type an e-mail address.")
        case "user_already_exists" | "email_exists":
            return say("There is an account with this address already. Log in.")
        case _:
            return problem.detail


def _too_weak(problem: Problem) -> str:
    match problem.detail:
        case detail if "at least" in detail:
            return say("Choose a password of {count} characters or more.", count=here.settings.password_min_length)
        case detail if "first that anybody tries" in detail:
            return say("This password is one of the first that anybody tries. Choose another.")
        case detail if "breach" in detail:
            return say("This password is known from a breach elsewhere. Choose another.")
        case _:
            return say("Choose a shorter password.")
