#!/usr/bin/env python3
"""Writes tests/vectors/own/<provider>.json for providers whose recorded vectors are too few to prove their row.

    script/vectors_own.py           writes the files
    script/vectors_own.py --check   says whether they are what this script writes

Written from the descriptions of the schemes, not from the rows, and with the standard library only: HMAC, SHA-2 and base64
from there, RSA by hand. What only a provider can sign (Telnyx) is taken from its recorded vector and then changed.
"""
import base64
import hashlib
import hmac
import json
import pathlib
import sys
from urllib.parse import quote

VECTORS = pathlib.Path(__file__).resolve().parent.parent / "tests/vectors"
NOW = 1_760_000_000
MADE_BY = "own: from the documented scheme"
JSON = ("Content-Type", "application/json")
BODY = '{"id":"evt_1","type":"order.paid","data":{"amount":1999,"name":"Zoë"}}\r\n'.encode()
OTHER = BODY.replace(b"1999", b"9999")


def mac(key: str, text: bytes) -> bytes:
    return hmac.new(key.encode(), text, hashlib.sha256).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


class Cases:
    """The cases of one provider. A case changes what it names of a request that is right."""

    def __init__(self, provider, secret, kind="shared_secret", url=None, encoding="utf8"):
        self.provider, self.url, self.cases = provider, url or f"https://hooks.example.com/in/{provider}", []
        self.secret = {"label": "current", "kind": kind, "encoding": encoding, "value": secret}
        self.held = [self.secret]

    def add(self, case, group, headers, body=BODY, *, valid=False, reason, now=NOW, url=None, method="POST", secrets=None):
        values = [secrets] if isinstance(secrets, str) else secrets
        held = [{**self.secret, "label": f"s{n}", "value": v} for n, v in enumerate(values)] if values else self.held
        self.cases.append({
            "provider": self.provider, "case": case, "group": group, "secrets": held, "method": method,
            "url": url or self.url, "headers": [list(header) for header in headers], "body_base64": b64(body),
            "now_unix": now, "expect": "valid" if valid else "invalid", "reason": reason, "made_by": MADE_BY,
        })

    def refused(self, headers, body, name, other_secret, prefix=""):
        """What no scheme with one signature in the header `name` accepts; its signature is the last of `headers`."""
        rest, value = [header for header in headers if header[0] != name], dict(headers)[name]
        other = body.replace(b"1999", b"9999")
        self.add("body_changed", "body", headers, other, reason="another body than was signed")
        self.add("body_newline_added", "body", headers, body + b"\n", reason="one byte more than was signed")
        self.add("body_emptied", "body", headers, b"", reason="no body under the signature of one")
        self.add("wrong_secret", "secret", headers, body, secrets=other_secret, reason="signed with another secret")
        self.add("header_missing", "header", rest, body, reason="no signature")
        self.add("header_empty", "header", rest + [(name, prefix)], body, reason="nothing to compare")
        self.add("header_twice", "header", headers + [(name, value)], body, reason="a consulted header may be there once")
        self.add("header_cut", "header", rest + [(name, value[:-2])], body, reason="a part of a signature")
        for case, secrets in (("first_secret", [self.secret["value"], other_secret]),
                              ("second_secret", [other_secret, self.secret["value"]])):
            self.add(case, "rotation", headers, body, valid=True, secrets=secrets, reason="any configured secret may match")


def plain(provider, secret, name, write, others=(), key=None, encoding="utf8", other_secret="another_secret_0123456789"):
    """HMAC-SHA256 of the body, in one header."""
    cases = Cases(provider, secret, encoding=encoding)
    sign = key or mac
    for case, body in (("valid", BODY), ("valid_not_utf8", b'{"a":"\xff\xfe"}'), ("valid_one_byte", b"0")):
        cases.add(case, "valid", [JSON, *others, (name, write(sign(secret, body)))], body, valid=True,
                  reason="HMAC-SHA256 of the bytes of the body")
    prefix = write(b"")
    cases.refused([JSON, *others, (name, write(sign(secret, BODY)))], BODY, name, other_secret, prefix)
    right = sign(secret, BODY)
    value = prefix + (b64(right) if write(b"\0").endswith("00") else right.hex())
    cases.add("other_encoding", "encoding", [JSON, *others, (name, value)], reason="the right MAC in another writing")
    sha1 = hmac.new(secret.encode(), BODY, hashlib.sha1).digest()
    cases.add("sha1", "header", [JSON, *others, (name, write(sha1))], reason="another algorithm than the scheme's")
    return cases


def timed(provider, secret, name, unit, write, text, others=(), url=None):
    """A list of a time and a signature in one header."""
    cases = Cases(provider, secret, url=url)

    def headers(at=NOW, body=BODY, secret=secret, shown=None):
        signature = mac(secret, text(str(at * unit).encode(), body)).hex()
        return [JSON, *others, (name, write(shown or at * unit, signature))]

    cases.add("valid", "valid", headers(), valid=True, reason="time and body are signed")
    cases.add("valid_at_the_edge", "time", headers(NOW - 300), valid=True, reason="the edge of the window is inside")
    cases.refused(headers(), BODY, name, "another_secret_0123456789")
    cases.add("stale", "time", headers(NOW - 301), reason="one second outside the window")
    cases.add("future", "time", headers(NOW + 301), reason="one second outside the window, ahead")
    cases.add("time_renewed", "time", headers(NOW - 3600, shown=NOW * unit), reason="another time than was signed")
    cases.add("time_in_other_unit", "time", [JSON, *others, (name, write(
        NOW * 1000 // unit, mac(secret, text(str(NOW * 1000 // unit).encode(), BODY)).hex()))],
              reason="signed rightly, but with the time in another unit")
    cases.add("time_no_number", "time", [JSON, *others, (name, write("x", mac(secret, text(b"x", BODY)).hex()))],
              reason="signed rightly, but with no time")
    return cases


def adyen_platform():
    secret = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    key = lambda text, body: hmac.new(bytes.fromhex(text), body, hashlib.sha256).digest()
    cases = plain("adyen_platform", secret, "HmacSignature", b64, [("Protocol", "HmacSHA256")], key, "hex", "00" * 32)
    cases.add("key_as_text", "secret", [JSON, ("HmacSignature", b64(mac(secret, BODY)))],
              reason="the key is what the hexadecimal stands for, not its text")
    return cases


def contentful():
    """Method, path, named headers and body, a line each; the header of names and the time are among those named."""
    secret = "_ldkKp7dOXyxyvJjTEKfYIgJbSkvTEHs_ldkKp7dOXyxyvJjTEKfYIgJbSkvTEaa"
    cases = Cases("contentful", secret)

    def headers(at=NOW, *, names=None, topic="Entry.publish", method="POST", path="/in/contentful", body=BODY, shown=None):
        values = {"content-type": "application/json", "x-contentful-timestamp": str(at * 1000),
                  "x-contentful-topic": topic}
        names = names or sorted([*values, "x-contentful-signed-headers"])
        values["x-contentful-signed-headers"] = ",".join(names)
        lines = [method, path, ";".join(f"{name}:{values[name]}" for name in names)]
        signature = mac(secret, "\n".join(lines).encode() + b"\n" + body).hex()
        values["x-contentful-timestamp"] = str((shown or at) * 1000)
        return [*values.items(), ("x-contentful-signature", signature)]

    name = "x-contentful-signature"
    cases.add("valid", "valid", headers(), valid=True, reason="method, path, named headers and body are signed")
    cases.add("valid_put", "valid", headers(method="PUT"), valid=True, method="PUT", reason="the method is signed")
    query = "a=1&b=c d"
    escaped = quote("/in/contentful?" + quote(query, safe="-_.!~*'()"), safe=";,/?:@&=+$#-_.!~*'()")
    cases.add("valid_query", "valid", headers(path=escaped), valid=True, url=f"{cases.url}?{query}",
              reason="the query is escaped as a component, and then the whole")
    cases.refused(headers(), BODY, name, "another" * 10)
    cases.add("other_method", "request", headers(), method="PUT", reason="the method is signed")
    cases.add("other_path", "request", headers(), url=cases.url + "/x", reason="the path is signed")
    cases.add("query_added", "request", headers(), url=cases.url + "?a=1", reason="the query is signed")
    topic = [(key, "Entry.delete" if key == "x-contentful-topic" else value) for key, value in headers()]
    cases.add("named_header_changed", "header", topic, reason="the topic is among the headers that are named")
    without = [pair for pair in headers() if pair[0] != "x-contentful-topic"]
    cases.add("named_header_missing", "header", without, reason="a header that is named is not there")
    cases.add("time_not_named", "time", headers(names=["x-contentful-signed-headers", "x-contentful-topic"]),
              reason="signed rightly, but anyone could renew the time")
    cases.add("stale", "time", headers(NOW - 31), reason="the window is 30 s")
    cases.add("future", "time", headers(NOW + 31), reason="the window is 30 s, ahead too")
    cases.add("time_renewed", "time", headers(NOW - 3600, shown=NOW), reason="another time than was signed")
    return cases


def hubspot_v1_v2():
    """A plain SHA-256: secret and body; or secret, method, URL and body."""
    secret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
    cases = Cases("hubspot_v1_v2", secret, url="https://hooks.example.com/in/hubspot?x=1")
    texts = {"v1": lambda s: s.encode() + BODY, "v2": lambda s: (s + "POST" + cases.url).encode() + BODY}
    name = "X-HubSpot-Signature"
    for version, text in texts.items():
        headers = [JSON, ("X-HubSpot-Signature-Version", version), (name, hashlib.sha256(text(secret)).hexdigest())]
        before = len(cases.cases)
        cases.add("valid", "valid", headers, valid=True, reason=f"SHA-256 as {version} writes it")
        cases.refused(headers, BODY, name, "another-secret-0123456789")
        cases.add("hmac", "header", headers[:-1] + [(name, mac(secret, BODY).hex())], reason="an HMAC, which is v3's")
        other = "v2" if version == "v1" else "v1"
        cases.add("other_version", "header", [JSON, ("X-HubSpot-Signature-Version", other), headers[-1]],
                  reason="the signature of one version under the name of the other")
        cases.add("no_version", "header", [JSON, headers[-1]], reason="nothing says which version it is")
        if version == "v2":
            cases.add("other_method", "request", headers, method="PUT", reason="the method is signed")
            cases.add("other_url", "request", headers, url=cases.url + "&y=2", reason="the URL is signed")
        for case in cases.cases[before:]:
            case["case"] = f"{version}_{case['case']}"
    return cases


def token(provider, secret, place, write, wrong):
    """A fixed secret that is sent along; nothing is signed. `write` gives headers and query for a value."""
    cases = Cases(provider, secret, kind="static_token")

    def add(case, group, value, *, valid=False, reason, **more):
        headers, query = write(value)
        cases.add(case, group, headers, url=cases.url + query, valid=valid, reason=reason, **more)

    add("own_valid", "valid", secret, valid=True, reason=f"the token stands {place}")
    add("own_second_secret", "rotation", secret, valid=True, secrets=["another", secret], reason="any secret may match")
    for case, value in {"prefix": secret[:-1], "longer": secret + "x", "empty": "", "upper_case": secret.swapcase(),
                        "other": "another", **wrong}.items():
        add(f"own_{case}", "secret", value, reason="not the token, or not the whole of it")
    headers, _ = write(secret)
    cases.add("own_missing", "header", [JSON], reason="no token")
    twice, query = write(secret)
    if query:
        cases.add("own_twice", "request", twice, url=f"{cases.url}{query}&{query[1:]}", reason="a parameter may be there once")
        cases.add("own_in_header", "header", [JSON, ("secret", secret), ("Authorization", secret)], reason="another place")
    else:
        cases.add("own_twice", "header", [*headers, headers[-1]], reason="a consulted header may be there once")
    return cases


def bearer(value):
    return [JSON, ("Authorization", f"Bearer {value}")], ""


def cloudevents():
    cases = token("cloudevents", "ce_tok_0123456789", "in Authorization", bearer, {})
    no = lambda case, headers, query, reason: cases.add(case, "header", headers, url=cases.url + query, reason=reason)
    cases.add("own_in_query", "valid", [JSON], url=cases.url + "?access_token=ce_tok_0123456789", valid=True,
              reason="or in the query, where a header cannot be")
    no("own_basic", [JSON, ("Authorization", "Basic ce_tok_0123456789")], "", "another scheme of authentication")
    no("own_bare", [JSON, ("Authorization", "ce_tok_0123456789")], "", "the word Bearer is missing")
    no("own_query_wrong", [JSON], "?access_token=ce_tok_012345678", "not the whole token")
    return cases


def postmark():
    write = lambda value: ([JSON, ("Authorization", "Basic " + b64(value.encode()))], "")
    cases = token("postmark", "user:pa:ss", "in Authorization, as user and password", write,
                  {"user_only": "user", "other_user": "root:pa:ss", "password_cut": "user:pa"})
    cases.add("own_lower_case_scheme", "valid", [JSON, ("Authorization", "basic " + b64(b"user:pa:ss"))], valid=True,
              reason="the name of the scheme has no case")
    cases.add("own_not_encoded", "encoding", [JSON, ("Authorization", "Basic user:pa:ss")], reason="not in base64")
    return cases


# A key of 2048 bits, made for these vectors and for nothing else.
RSA_MODULUS = int(
    "c74d33f3fce58554eec350bb8deaf85553d9d43d94dfdfd50323a5c62893f5aa09afa86e35bf1841569afe43eda67107f10c71396646ac"
    "551fedd23f9cd54f5b213e01b89dd266e987a7ecc16038ac9eb20b1801824b548cbf9851095cceca75648c7df8311f06d4be0f3a96fca5"
    "d7b84052e8f2fd5da8d57921be58a080b901ae00a6a8bb56cb6d55917d2f2a5e31417d14c321771be4bd9b585f6b7907cf9ea7ea505993"
    "b03eb505d984e27e4774fabc0ef1994505b251938e43b4c85121e1971195ee94fee948a7153457654ae79db229c5f8717bec7f37456a92"
    "ab79bd157031013cb8046a9a9ef0d1f4cd8c9190e2828d08cf44a04ae9f1de7373597c61", 16)
RSA_EXPONENT = int(
    "ba3d80c10da085d9fa4c7652eda9976a5533074c8ca4300c642499b2f5145ecb08c62744e5e0af0fcf9882e6835bb7e04df6ec8f50edd5"
    "f8ae1f950b70c93ca0d20d999a25910a2e4c6035b3f6f0bf0e851e2cceac2d2cd361ef3a3adf8936544123b04b8fcb889ca106a61f95f4"
    "7c0367c8927b0f1cc8bac3b92ea0af4bda94fa89c17cddda93f2ef1ce953272a350b8d6b4dcd468036991abf135d1515d455a9d73d6516"
    "bf38dd9ade1504ebcba2c776d9109d99e24d2e7fe531064b723c7487543e5cabc50ed66533a51b02b5d48d6befb9fb3b362f75d2932dc6"
    "45185a420f214066182fb4d01f661655e547a6d25dadac15c73f48e7ba225ccade6fda89", 16)


def postal():
    """PKCS #1 v1.5 with SHA-1, by hand."""
    n, e, d = RSA_MODULUS, 65537, RSA_EXPONENT
    prefix = {"sha1": "3021300906052b0e03021a05000414", "sha256": "3031300d060960864801650304020105000420"}

    def sign(body, algorithm="sha1", modulus=n, exponent=d):
        digest = bytes.fromhex(prefix[algorithm]) + hashlib.new(algorithm, body).digest()
        padded = b"\x00\x01" + b"\xff" * (256 - 3 - len(digest)) + b"\x00" + digest
        return b64(pow(int.from_bytes(padded, "big"), exponent, modulus).to_bytes(256, "big"))

    def der(tag, content):
        length = len(content)
        size = bytes([length]) if length < 128 else (lambda raw: bytes([128 + len(raw)]) + raw)(
            length.to_bytes((length.bit_length() + 7) // 8, "big"))
        return bytes([tag]) + size + content

    def pem(modulus):
        number = lambda value: der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))
        key = der(0x30, number(modulus) + number(e))
        spki = der(0x30, bytes.fromhex("300d06092a864886f70d0101010500") + der(3, b"\x00" + key))
        text = b64(spki)
        lines = [text[at:at + 64] for at in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])

    name = "X-Postal-Signature"
    cases = Cases("postal", pem(n), kind="rsa_public_key", encoding="pem")
    headers = [JSON, (name, sign(BODY))]
    cases.add("valid", "valid", headers, valid=True, reason="RSA with SHA-1 over the body")
    cases.add("valid_not_utf8", "valid", [JSON, (name, sign(b"\xff"))], b"\xff", valid=True, reason="bytes as they are")
    # Of another key only the modulus is needed: nothing verifies under it.
    cases.refused(headers, BODY, name, pem(n + 2))
    cases.add("sha256", "header", [JSON, (name, sign(BODY, "sha256"))], reason="another hash than the scheme's")
    raw = base64.b64decode(sign(BODY))
    cases.add("bit_flip", "header", [JSON, (name, b64(raw[:-1] + bytes([raw[-1] ^ 1])))], reason="one bit of the signature")
    cases.add("zero", "header", [JSON, (name, b64(bytes(256)))], reason="a signature of nothing")
    cases.add("unsigned_padding", "header", [JSON, (name, b64(raw[1:]))], reason="shorter than the modulus")
    return cases


def telnyx():
    """Recorded, then changed: only the provider has its private key."""
    recorded = json.loads((VECTORS / "telnyx.json").read_text())
    right = next(case for case in recorded if case["expect"] == "valid")
    cases = Cases("telnyx", right["secrets"][0]["value"], kind="ed25519_public_key", encoding="base64")
    headers, body = [tuple(header) for header in right["headers"]], base64.b64decode(right["body_base64"])
    name, time = "telnyx-signature-ed25519", "telnyx-timestamp"
    change = lambda which, value: [(key, value if key.lower() == which else old) for key, old in headers]
    other = b64(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
    cases.refused(headers, body, name, other)
    cases.add("time_renewed", "time", change(time, str(NOW + 1)), body, reason="another time than was signed")
    cases.add("stale", "time", headers, body, now=NOW + 301, reason="one second outside the window")
    cases.add("future", "time", headers, body, now=NOW - 301, reason="one second outside the window, ahead")
    cases.add("edge", "time", headers, body, now=NOW + 300, valid=True, reason="the edge of the window is inside")
    cases.add("border_moved", "body", change(time, f"{NOW}|"), body, reason="the border between time and body")
    raw = base64.b64decode(dict(headers)[name])
    cases.add("bit_flip", "header", change(name, b64(raw[:-1] + bytes([raw[-1] ^ 1]))), body, reason="one bit of it")
    order = 2**252 + 27742317777372353535851937790883648493
    more = (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    cases.add("other_s", "header", change(name, b64(raw[:32] + more)), body, reason="s beyond the order of the group")
    cases.add("in_hex", "encoding", change(name, raw.hex()), body, reason="another way of writing")
    small = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    forged = b64(bytes([1]) + bytes(63))
    cases.add("small_order", "secret", change(name, forged), body, secrets=small, reason="under a key of small order anyone can sign")
    return cases


def recorded(provider, case=None):
    """A request that the provider's SDK made and that is right."""
    cases = json.loads((VECTORS / f"{provider}.json").read_text())
    return next(it for it in cases if it.get("gateway", it["expect"]) == "valid" and case in (None, it["case"]))


def laws():
    """What no recorded vector shows: each finds a fault that script/mutate puts into the engine."""
    made = []

    def law(provider, secret, **more):
        made.append(Cases(provider, secret, **more))
        return made[-1]

    def again(provider, case=None):
        """The recorded request, to be changed in what its provider does not sign."""
        right = recorded(provider, case)
        cases = law(provider, "", url=right["url"])
        cases.held = right["secrets"]
        headers, body = dict(tuple(header) for header in right["headers"]), base64.b64decode(right["body_base64"])

        def add(case, reason, body=body, **changed):
            cases.add(case, "header", list({**headers, **changed}.items()), body, now=right["now_unix"], reason=reason)
        return add, headers, body

    hexadecimal = mac(GITHUB, BODY).hex()
    github = law("github", GITHUB)
    for at in (0, 15, 16, 31):
        raw = bytearray(mac(GITHUB, BODY))
        raw[at] ^= 1
        github.add(f"byte_{at}_changed", "header", [JSON, ("X-Hub-Signature-256", "sha256=" + raw.hex())],
                   reason="every byte of the MAC counts")
    github.add("digit_too_much", "encoding", [JSON, ("X-Hub-Signature-256", f"sha256={hexadecimal}0")],
               reason="an odd number of digits")
    github.add("capitals", "encoding", [JSON, ("X-Hub-Signature-256", f"sha256={hexadecimal.upper()}")], valid=True,
               reason="hexadecimal has either case")
    mark = b"\xef\xbb\xbf" + BODY
    for case, signed in (("mark_signed", mark), ("mark_not_signed", BODY)):
        github.add(case, "body", [JSON, ("X-Hub-Signature-256", "sha256=" + mac(GITHUB, signed).hex())], mark,
                   valid=signed == mark, reason="a byte order mark is a part of the body")

    shopify = law("shopify", GITHUB)
    right = b64(mac(GITHUB, BODY))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    loose = right[:42] + letters[letters.index(right[42]) | 3 if letters.index(right[42]) & 3 != 3 else 0] + "="
    for case, text in {"no_padding": right.rstrip("="), "loose_bits": loose, "blank_behind": right + " "}.items():
        shopify.add(case, "encoding", [JSON, ("X-Shopify-Hmac-Sha256", text)], reason="base64 is written in one way only")
    for number in range(20):
        body = BODY + b" " * number
        text = b64(mac(GITHUB, body))
        if "+" in text and "/" in text:
            shopify.add("url_alphabet", "encoding", [JSON, ("X-Shopify-Hmac-Sha256", text.replace("+", "-").replace("/", "_"))],
                        body, reason="the alphabet for URLs is another")
            break

    slack = law("slack", GITHUB)
    for case, time in {"plus": f"+{NOW}", "zero": f"0{NOW}", "blank": f" {NOW}", "fraction": f"{NOW}.0", "point": f"{NOW}.",
                       "minus": f"-{NOW}", "exponent": f"{NOW}e0", "letters": f"{NOW}s"}.items():
        signature = "v0=" + mac(GITHUB, f"v0:{time}:".encode() + BODY).hex()
        slack.add(f"time_with_{case}", "time", [JSON, ("X-Slack-Request-Timestamp", time), ("X-Slack-Signature", signature)],
                  reason="signed rightly, but a time is plain digits")

    stripe = law("stripe", GITHUB)
    signature = mac(GITHUB, f"{NOW}.".encode() + BODY).hex()
    wrong = [f"v1={'%02x' % number * 32}" for number in range(16)]
    for case, elements, valid, reason in (
            ("listed_16", wrong[:15] + [f"v1={signature}"], True, "sixteen signatures are looked at"),
            ("listed_17", wrong + [f"v1={signature}"], False, "and no more")):
        stripe.add(case, "rotation", [JSON, ("Stripe-Signature", ",".join([f"t={NOW}", *elements]))], valid=valid, reason=reason)
    for case, value in {"blank_in_list": f"t={NOW}, v1={signature}", "blank_before_label": f"t={NOW},v1 ={signature}",
                        "other_separator": f"t={NOW};v1={signature}", "label_in_capitals": f"t={NOW},V1={signature}",
                        "other_label": f"t={NOW},v0={signature}", "two_times": f"t={NOW},t={NOW + 1},v1={signature}"}.items():
        stripe.add(case, "header", [JSON, ("Stripe-Signature", value)], reason="a list is written in one way only")

    key = b"standard webhooks key"
    standard = law("standardwebhooks", "whsec_" + b64(key))

    def standardised(case, reason, *, secret=None, key=key, id="msg_1"):
        raw = hmac.new(key, f"{id}.{NOW}.".encode() + BODY, hashlib.sha256).digest()
        headers = [JSON, ("webhook-id", id), ("webhook-timestamp", str(NOW)), ("webhook-signature", f"v1,{b64(raw)}")]
        standard.add(case, "secret", headers, reason=reason, secrets=secret)
    standardised("id_too_long", "signed rightly, but no header beyond 8 KiB is looked at", id="x" * 8193)
    standardised("id_empty", "signed rightly, but without an id", id="")
    standardised("key_empty", "a key of no bytes, which anyone has", secret="whsec_", key=b"")
    standardised("key_not_base64", "a secret in another form is no key", secret="whsec_not base64!", key=b"whsec_not base64!")
    adyen = law("adyen_platform", "not hexadecimal", encoding="hex")
    adyen.add("key_not_hex", "secret", [JSON, ("HmacSignature", b64(mac("not hexadecimal", BODY)))],
              reason="a secret in another form is no key")

    twilio_laws(law("twilio", "12345", url="https://hooks.example.com/in/twilio"))

    hubspot = law("hubspot", GITHUB, url="https://hooks.example.com/in/x?a=1%262%3D3%3Fb%2520c%24%3A")
    decoded = "https://hooks.example.com/in/x?a=1%262%3D3?b%2520c$:"
    text = b"POST" + decoded.encode() + BODY + str(NOW * 1000).encode()
    headers = [JSON, ("X-HubSpot-Request-Timestamp", str(NOW * 1000)), ("X-HubSpot-Signature-v3", b64(mac(GITHUB, text)))]
    hubspot.add("escapes", "valid", headers, valid=True, reason="some escapes are undone and others are not")

    mailgun = law("mailgun", GITHUB)
    for case, mail_token, valid in (("token_of_50", "0a" * 25, True), ("token_of_49", "0a" * 24 + "0", False),
                                    ("token_with_sign", "0a" * 24 + "0-", False)):
        signed = {"timestamp": str(NOW), "token": mail_token, "signature": mac(GITHUB, (str(NOW) + mail_token).encode()).hex()}
        mailgun.add(case, "body", [JSON], json.dumps({"signature": signed, "event-data": {"event": "delivered"}}).encode(),
                    valid=valid, reason="nothing separates time and token, so that both have a fixed form")

    braintree = law("braintree", "private")
    braintree.held = [{"label": "public key", "kind": "id", "encoding": "utf8", "value": "public"}, braintree.secret]
    for case, end, valid in (("signed_as_it_is", "", True), ("signed_with_line_end", "\n", True), ("signed_with_two", "\n\n", False)):
        tag = hmac.new(hashlib.sha1(b"private").digest(), ("PHhtbC8+" + end).encode(), hashlib.sha1).hexdigest()
        body = f"bt_signature=public%7C{tag}&bt_payload={quote('PHhtbC8+', safe='')}".encode()
        braintree.add(case, "body", [("Content-Type", "application/x-www-form-urlencoded")], body, valid=valid,
                      reason="its gateway signs the payload, with or without the end of its line")

    def jwt(claims, cut=None, head=None):
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
                        for part in (head or {"alg": "HS256", "typ": "JWT"}, claims))
        return f"{text}.{base64.urlsafe_b64encode(mac(GITHUB, text.encode())[:cut]).decode().rstrip('=')}"

    bird = law("messagebird", GITHUB)
    claims = {"iss": "MessageBird", "exp": NOW + 60, "jti": "1", "url_hash": hashlib.sha256(bird.url.encode()).hexdigest()}
    whole = {**claims, "payload_hash": hashlib.sha256(BODY).hexdigest()}
    for case, content, body, valid in (("whole", whole, BODY, True), ("no_hash_no_body", claims, b"", True),
                                       ("no_hash", claims, BODY, False), ("hash_of_body_no_body", whole, b"", False)):
        bird.add(case, "body", [("MessageBird-Signature-JWT", jwt(content))], body, valid=valid,
                 reason="a token says what the body is, when there is one")
    for cut in (0, 12, 31):
        bird.add(f"signature_of_{cut}_bytes", "header", [("MessageBird-Signature-JWT", jwt(whole, cut))],
                 reason="a part of a signature")
    for case, head in {"none": {"alg": "none"}, "other": {"alg": "ES256"}, "no": {"typ": "JWT"},
                       "critical": {"alg": "HS256", "crit": ["exp"]}}.items():
        bird.add(f"algorithm_{case}", "header", [("MessageBird-Signature-JWT", jwt(whole, head=head))],
                 reason="signed rightly, but the header asks for what the scheme has not")

    add, headers, _ = again("sendgrid")
    name = "X-Twilio-Email-Event-Webhook-Signature"
    der = base64.b64decode(headers[name])
    r, s = der[4:4 + der[3]], der[6 + der[3]:]
    raw = b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (r, s))
    add("raw_for_der", "the same numbers in another form", **{name: b64(raw)})
    add("long_length", "a length in two bytes, which is not DER", **{name: b64(der[:1] + b"\x81" + der[1:])})
    add("byte_behind", "more than the signature", **{name: b64(der + b"\0")})

    add, headers, _ = again("ebay")
    name = "x-ebay-signature"
    said = json.loads(base64.b64decode(headers[name]))
    for case, change in {"other_alg": {"alg": "RSA"}, "other_digest": {"digest": "MD5"}, "no_alg": {"alg": ""}}.items():
        add(case, "the header has to agree with the scheme", **{name: b64(json.dumps({**said, **change}).encode())})

    add, _, body = again("aws_sns", "valid_notification_v2")
    for case, host in {"below": "evil.sns.us-east-1.amazonaws.com", "behind": "sns.us-east-1.amazonaws.com.evil.example",
                       "beside": "sns-us-east-1.amazonaws.com", "bare": "amazonaws.com"}.items():
        add(f"certificate_{case}", "a certificate of another host, which is not signed",
            body.replace(b"https://sns.us-east-1.amazonaws.com/", f"https://{host}/".encode()))

    everything = Cases("laws", "")
    for cases in made:
        for case in cases.cases:
            everything.cases.append({**case, "case": f"law_{case['case']}"})
    return everything


GITHUB = "It's a Secret to Everybody"


def twilio_laws(cases):
    """Which of its ways of signing holds is decided by what a stranger sends, too."""
    form, other = ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Type", "application/json")
    settings = ("X-Twilio-Webhooks-Signature-Settings", "key=main_1,algorithm=HMAC_SHA256")

    def add(case, reason, signed, headers, body, *, valid=False, url=cases.url, algorithm="sha1"):
        tag = b64(hmac.new(b"12345", signed.encode(), algorithm).digest())
        cases.add(case, "request", [*headers, ("X-Twilio-Signature", tag)], body, valid=valid, url=url, reason=reason)

    url, body = cases.url, b"b=2&a=1"
    add("form", "the URL and the fields in order", url + "a1b2", [form], body, valid=True)
    add("form_repeated", "equal fields count once", url + "a1b2", [form], b"b=2&a=1&b=2", valid=True)
    add("form_repeated_twice_signed", "equal fields count once", url + "a1b2b2", [form], b"b=2&a=1&b=2")
    add("shared_key", "another hash, named in a header", url + "a1b2", [form, settings], body, valid=True, algorithm="sha256")
    add("shared_key_old_hash", "the old hash, where the new one is named", url + "a1b2", [form, settings], body)
    add("old_way_new_hash", "the new hash, where it is not named", url + "a1b2", [form], body, algorithm="sha256")
    add("json_as_form", "a form is read as one only when it says so", url + "a1b2", [other, settings], body, algorithm="sha256")
    hashed = f"{url}?bodySHA256={hashlib.sha256(b'{}').hexdigest()}"
    add("json", "the hash of the body stands in the URL", hashed, [other], b"{}", valid=True, url=hashed)
    add("json_changed", "another body than was hashed", hashed, [other], b"{ }", url=hashed)
    add("json_emptied", "no body under the hash of one", hashed, [other], b"", url=hashed)
    add("json_emptied_form", "the same, and called a form", hashed, [form], b"", url=hashed)
    add("json_emptied_shared", "the same with a shared key", hashed, [form, settings], b"", url=hashed, algorithm="sha256")
    add("json_unhashed", "a body that nothing covers", url, [other], b"{}")
    add("port_default", "signed with the default port", url.replace(".com/", ".com:443/") + "a1b2", [form], body, valid=True)
    odd = url.replace(".com/", ".com:8443/")
    add("port_left_out", "another port is never left out", url + "a1b2", [form], body, url=odd)
    add("port_kept", "signed with its port", odd + "a1b2", [form], body, valid=True, url=odd)


def all_cases():
    yield adyen_platform()
    yield timed("buildkite", "sec_0123456789abcdefghij", "X-Buildkite-Signature", 1,
                lambda at, signature: f"timestamp={at},signature={signature}", lambda at, body: at + b"." + body)
    yield cloudevents()
    yield contentful()
    yield token("gitlab", "gl_tok_0123456789", "in X-Gitlab-Token", lambda v: ([JSON, ("X-Gitlab-Token", v)], ""), {})
    yield hubspot_v1_v2()
    yield laws()
    yield plain("jira", "lt_secret_0123456789", "X-Hub-Signature", lambda raw: "sha256=" + raw.hex())
    yield token("mailchimp", "mc_tok_0123456789", "in the query",
                lambda v: ([("Content-Type", "application/x-www-form-urlencoded")], f"?secret={v}"), {})
    yield plain("modern_treasury", "mt_webhook_key_123", "X-Signature", bytes.hex, [("X-Topic", "payment_order")])
    yield postal()
    yield postmark()
    yield timed("retell", "key_0123456789abcdef", "X-Retell-Signature", 1000,
                lambda at, signature: f"v={at},d={signature}", lambda at, body: body + at)
    yield plain("shopware", "shopware_shop_secret", "shopware-shop-signature", bytes.hex)
    yield telnyx()
    yield plain("xero", "sec_0123456789abcdefghij", "x-xero-signature", b64)


def main():
    stale = []
    for cases in all_cases():
        names = [case["case"] for case in cases.cases]
        both = [(case["provider"], case["case"]) for case in cases.cases]
        assert len(both) == len(set(both)), f"{cases.provider}: a name is there twice"
        text = json.dumps(cases.cases, indent=1, ensure_ascii=False) + "\n"
        path = VECTORS / "own" / f"{cases.provider}.json"
        if "--check" in sys.argv:
            stale += [str(path)] if not path.is_file() or path.read_text() != text else []
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        right = sum(case["expect"] == "valid" for case in cases.cases)
        print(f"{cases.provider:16} {right:3} accepting {len(names) - right:3} refusing")
    sys.exit(f"not as written: {', '.join(stale)}" if stale else 0)


if __name__ == "__main__":
    main()
