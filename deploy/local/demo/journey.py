"""The journey itself: from signing up to a token that is refused, on two phones of one person."""

import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import requests

from deploy.local.demo.console import Console, Failed, check, eventually, expect
from deploy.local.demo.operator import Operator
from deploy.local.demo.phone import Phone
from shared.ids import new_id

REFUSED_WITHIN_S = 1.0


@dataclass
class Journey:
    console: Console
    operator: Operator
    android: Phone
    iphone: Phone
    email: str = field(default_factory=lambda: f"alice.{secrets.token_hex(4)}@example.org")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    user_id: UUID = field(init=False)
    document_ids: list[UUID] = field(default_factory=list)

    def play(self) -> None:
        """Every step in order; raise Failed at the first that does not go as it must."""
        before = self.operator.counters()
        self.sign_up()
        self.confirm()
        self.log_in()
        self.meet_the_profile(before)
        self.change_the_profile()
        self.register_devices()
        self.write_offline()
        self.pull_on_the_other_phone()
        self.let_the_shop_send()
        self.receive_a_message()
        self.lose_a_refresh_token()
        self.log_out()
        self.read_the_metrics(before)

    def sign_up(self) -> None:
        with self.console.step("alice signs up on her Android phone"):
            body = {"email": self.email, "password": self.password, "data": {"name": "Alice"}}
            user = expect(self.android.call("POST", "/auth/v1/signup", body), 200)
            self.user_id = UUID(user["id"])
            early = {"email": self.email, "password": self.password}
            answer = self.android.call("POST", "/auth/v1/token?grant_type=password", early, note="too early")
            expect(answer, 400, "email_not_confirmed")

    def confirm(self) -> None:
        with self.console.step("she confirms her address with the code from the mail"):
            mail = eventually(lambda: self.operator.arrived("smtp", self.email), f"a mail to {self.email}")
            self.console.say(f"mail “{mail['mail']['subject']}” to {self.email}")
            code = re.search(r"\b(\d{6})\b", mail["mail"]["text"])
            link = re.search(r"https?://\S+", mail["mail"]["text"])
            if code is None or link is None:
                raise Failed("a link and a six-digit code in the mail", mail["mail"]["text"][:200])
            check(link[0].startswith(self.android.base_url), "a link to the gateway", link[0])
            page = self.android.call(
                "GET", link[0].removeprefix(self.android.base_url), note="the page behind the link"
            )
            check("<form" in page.text, "a page whose button confirms, so that a mail scanner does not", page.text)
            body = {"type": "signup", "email": self.email, "token": code[1]}
            expect(self.android.call("POST", "/auth/v1/verify", body), 200)
            again = self.android.call("POST", "/auth/v1/verify", body, note="the same code again")
            check(400 <= again.status_code < 500, "a code that works once", again.status_code)

    def log_in(self) -> None:
        with self.console.step("she logs in on the Android phone and on an iPhone"):
            for phone in (self.android, self.iphone):
                user_id = phone.log_in(self.email, self.password)
                check(user_id == self.user_id, f"the user {self.user_id}", user_id)

    def meet_the_profile(self, before: dict[str, float]) -> None:
        with self.console.step("her profile has appeared, made by the event user.registered"):
            eventually(
                lambda: self.operator.handled("profile", "user.registered") > before["profile user.registered"],
                "user.registered handled by the profile service",
            )
            profile = expect(self.android.call("GET", "/profile/v1/me"), 200)
            check(profile["user_id"] == str(self.user_id), f"the profile of {self.user_id}", profile)

    def change_the_profile(self) -> None:
        with self.console.step("she changes it, and the iPhone sees the change"):
            etag = self.android.call("GET", "/profile/v1/me").headers["ETag"]
            change = {"display_name": "Alice", "locale": "en-GB", "timezone": "Europe/London"}
            expect(self.android.call("PATCH", "/profile/v1/me", change, headers={"If-Match": etag}), 200)
            stale = self.iphone.call("PATCH", "/profile/v1/me", {"bio": "…"}, headers={"If-Match": etag}, note="stale")
            expect(stale, 412, "precondition_failed")
            seen = expect(self.iphone.call("GET", "/profile/v1/me"), 200)
            check(seen["display_name"] == "Alice", "the new name", seen)

    def register_devices(self) -> None:
        with self.console.step("both phones register for push"):
            for phone in (self.android, self.iphone):
                body = {"platform": phone.platform, "token": phone.push_token, "app_id": phone.app_id}
                answer = phone.call("PUT", f"/notify/v1/devices/{phone.device_id}", body)
                check(answer.status_code in (200, 201), "the device registered", answer.text)

    def write_offline(self) -> None:
        with self.console.step("the Android phone comes back from a tunnel with three notes it wrote offline"):
            self.document_ids = [new_id() for _ in range(3)]
            rows = [
                {"collection": "notes", "id": str(document_id), "assumed_revision": None, "document": {"text": text}}
                for document_id, text in zip(self.document_ids, ("milk", "bread", "rain"), strict=True)
            ]
            for note in ("first try, say its answer was lost", "so it sends them again"):
                pushed = expect(self.android.call("POST", "/data/v1/push", {"rows": rows}, note=note), 200)
                outcomes = [row["outcome"] for row in pushed["results"]]
                check(outcomes == ["accepted"] * 3, "three accepted rows", pushed)

    def pull_on_the_other_phone(self) -> None:
        with self.console.step("the iPhone pulls them, then only what is new"):
            changes = expect(self.iphone.call("GET", "/data/v1/changes"), 200)
            texts = {row["id"]: row["document"]["text"] for row in changes["documents"]}
            wanted = dict(zip(map(str, self.document_ids), ("milk", "bread", "rain"), strict=True))
            check(texts == wanted, f"the three notes {wanted}", texts)
            gone = f"/data/v1/spaces/me/collections/notes/documents/{self.document_ids[2]}"
            check(self.android.call("DELETE", gone).status_code in (200, 204), "the note deleted", "a refusal")
            path = f"/data/v1/changes?checkpoint={changes['checkpoint']}"
            newer = expect(self.iphone.call("GET", path), 200)
            rows = [(row["id"], row.get("deleted", False)) for row in newer["documents"]]
            check(rows == [(str(self.document_ids[2]), True)], "one tombstone and nothing else", rows)

    def let_the_shop_send(self) -> None:
        with self.console.step("the shop's own server gets a token that may send messages"):
            self.console.say(
                f"python -m services.auth token --scope messages:send → {len(self.operator.token)} characters"
            )

    def receive_a_message(self) -> None:
        with self.console.step("the shop's own server sends her a message: both phones and the mail get it, once"):
            body = {
                "to": {"user_id": str(self.user_id)},
                "channels": ["push", "email"],
                "title": "Your order has left",
                "body": "It will be with you on Tuesday.",
                "data": {"order": "4711"},
            }
            key = {"Idempotency-Key": secrets.token_hex(8)}
            sent = expect(self.operator.call("POST", "/notify/v1/messages", body, headers=key), 202)
            repeated = expect(self.operator.call("POST", "/notify/v1/messages", body, headers=key, note="again"), 202)
            check(sent["id"] == repeated["id"], "the same message for the same Idempotency-Key", repeated["id"])
            self._show_fcm(body)
            self._show_apns(body)
            mail = eventually(lambda: self._mail(str(body["title"])), "the mail")
            self.console.say(f"SMTP  {mail['to']}  subject “{mail['mail']['subject']}”")
            eventually(lambda: self._all_accepted(sent["id"]), "three deliveries with the outcome accepted")

    def _show_fcm(self, body: dict[str, Any]) -> None:
        push = eventually(lambda: self.operator.arrived("fcm", self.android.push_token), "a push at FCM")
        message = push["body"]["message"]
        check(message["token"] == self.android.push_token, "the Android phone's token", message)
        check(message["notification"]["title"] == body["title"], "the title", message)
        check(message["data"]["order"] == "4711", "the data", message)
        check(push["headers"]["authorization"].startswith("Bearer "), "an OAuth bearer token", push["headers"])
        self.console.say(
            f"FCM   {push['provider_id'].split('%')[0]}  “{message['notification']['title']}” data={message['data']}"
        )

    def _show_apns(self, body: dict[str, Any]) -> None:
        push = eventually(lambda: self.operator.arrived("apns", self.iphone.push_token), "a push at APNs")
        headers, payload = push["headers"], push["body"]
        check(headers["apns-topic"] == self.iphone.app_id, f"the topic {self.iphone.app_id}", headers)
        check(headers["apns-push-type"] == "alert", "the push type alert", headers)
        check(len(headers["apns-id"]) == 36, "an apns-id", headers)
        check(headers["authorization"].lower().startswith("bearer "), "a provider token", headers)
        check(payload["aps"]["alert"]["title"] == body["title"], "the title", payload)
        self.console.say(
            f"APNs  {push['to'][:16]}…  topic={headers['apns-topic']} type={headers['apns-push-type']}"
            f" priority={headers.get('apns-priority')} “{payload['aps']['alert']['title']}”"
        )

    def _mail(self, subject: str) -> dict[str, Any] | None:
        mails = self.operator.all_arrived("smtp", self.email)
        return next((mail for mail in mails if mail["mail"]["subject"] == subject), None)

    def _all_accepted(self, message_id: str) -> bool:
        message = expect(self.operator.quiet_call("GET", f"/notify/v1/messages/{message_id}"), 200)
        outcomes = [delivery["outcome"] for delivery in message["deliveries"]]
        return outcomes == ["accepted"] * 3

    def lose_a_refresh_token(self) -> None:
        with self.console.step("the iPhone refreshes twice; then somebody presents its first refresh token"):
            stolen = self.iphone.refresh_token
            for _ in range(2):
                self.iphone.keep(expect(self.iphone.refresh(), 200))
            expect(self.iphone.refresh(stolen), 400, "refresh_token_already_used")
            newest = self.iphone.refresh()
            check(newest.status_code == 400, "a family that is dead: the newest token is refused too", newest.text)
            self._refused(self.iphone)
            expect(self.android.call("GET", "/auth/v1/user", note="her other phone is not touched"), 200)

    def log_out(self) -> None:
        with self.console.step("she logs out on the Android phone; its access token is refused at the door at once"):
            check(self.android.call("POST", "/auth/v1/logout?scope=local").status_code == 204, "204", "a refusal")
            self._refused(self.android)

    def _refused(self, phone: Phone) -> None:
        """The token is valid for minutes to come; the gateway must refuse it within a second."""
        began = time.monotonic()
        while True:
            answer = requests.get(
                f"{phone.base_url}/profile/v1/me",
                headers={"Authorization": f"Bearer {phone.access_token}"},
                timeout=5,
            )
            took_s = time.monotonic() - began
            if answer.status_code == 401:
                body = expect(answer, 401, "session_revoked")
                self.console.say(f"{phone.name}: 401 {body['code']} after {took_s * 1000:.0f} ms")
                return
            if took_s > REFUSED_WITHIN_S:
                raise Failed(f"401 within {REFUSED_WITHIN_S:.0f} s", f"{answer.status_code} after {took_s:.1f} s")
            time.sleep(0.005)

    def read_the_metrics(self, before: dict[str, float]) -> None:
        with self.console.step("the metrics of every part show what just happened"):
            after = self.operator.counters()
            for name, value in after.items():
                check(value > before[name], f"{name} above {before[name]:.0f}", value)
                self.console.say(f"{name:<44} +{value - before[name]:.0f}")
