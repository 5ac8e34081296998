"""Kinds of secrets that work once, and which of them a `type` of `verify` takes."""

SIGNUP = "signup"
INVITE = "invite"
MAGIC_LINK = "magiclink"
RECOVERY = "recovery"
EMAIL_CHANGE_CURRENT = "email_change_current"
EMAIL_CHANGE_NEW = "email_change_new"
REAUTHENTICATION = "reauthentication"
SMS = "sms"
PHONE_CHANGE = "phone_change"

EMAIL_CHANGE = (EMAIL_CHANGE_CURRENT, EMAIL_CHANGE_NEW)

# Whoever asked for a magic link to a new address may call it a sign-up, and the other way round: clients differ.
TAKEN_BY: dict[str, tuple[str, ...]] = {
    "signup": (SIGNUP, MAGIC_LINK),
    "magiclink": (MAGIC_LINK, SIGNUP),
    "email": (SIGNUP, MAGIC_LINK, INVITE),
    "invite": (INVITE,),
    "recovery": (RECOVERY,),
    "email_change": EMAIL_CHANGE,
    "email_change_current": (EMAIL_CHANGE_CURRENT,),
    "email_change_new": (EMAIL_CHANGE_NEW,),
    "sms": (SMS,),
    "phone_change": (PHONE_CHANGE,),
}

# What the link of a mail calls its kind, and what a session says it was opened with (`amr`) when a code was exchanged.
TYPE_OF_LINK = {
    kind: "email_change" if kind in EMAIL_CHANGE else kind
    for kind in (SIGNUP, INVITE, MAGIC_LINK, RECOVERY, *EMAIL_CHANGE)
}
METHOD = {SIGNUP: "email/signup", **{kind: TYPE_OF_LINK[kind] for kind in TYPE_OF_LINK if kind != SIGNUP}}
