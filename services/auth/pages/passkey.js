// Lets the device show a passkey or a security key, and sends the form that asked for it. Without this the form stays hidden.
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const read = (json) => {
    const options = JSON.parse(json);
    options.challenge = bytes(options.challenge);
    options.allowCredentials = (options.allowCredentials || []).map((key) => ({ ...key, id: bytes(key.id) }));
    return options;
  };

  const written = (credential) =>
    JSON.stringify({
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      response: {
        clientDataJSON: text(credential.response.clientDataJSON),
        authenticatorData: text(credential.response.authenticatorData),
        signature: text(credential.response.signature),
        userHandle: credential.response.userHandle ? text(credential.response.userHandle) : null,
      },
      clientExtensionResults: {},
    });

  const ask = async (form, more) => {
    const credential = await navigator.credentials.get({ publicKey: read(form.dataset.options), ...more });
    form.elements.credential.value = written(credential);
    form.submit();
  };

  // The list of passkeys that a browser offers in the address field waits quietly until the button is pressed.
  const offer = async (form) => {
    const waiting = new AbortController();
    if (await PublicKeyCredential.isConditionalMediationAvailable?.()) {
      ask(form, { mediation: "conditional", signal: waiting.signal }).catch(() => {});
    }
    return waiting;
  };

  const begin = async (form) => {
    form.hidden = false;
    const waiting = form.dataset.offer === undefined ? null : await offer(form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      waiting?.abort();
      const said = form.querySelector("[role=status]");
      said.textContent = "";
      ask(form, {}).catch(() => {
        said.textContent = form.dataset.failed;
      });
    });
    form.dataset.ready = "";
  };

  addEventListener("DOMContentLoaded", () => {
    if (!window.PublicKeyCredential) return;
    document.querySelectorAll("form[data-options]").forEach(begin);
  });
})();
