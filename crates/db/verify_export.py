#!/usr/bin/env python3
"""Verifies an exported slice of an audit log: verify_export.py FILE KEYS. Needs Python 3.8 and nothing else."""
import base64, hashlib, json, struct, sys


def fail(why):
    sys.exit(f"NOT VERIFIED: {why}")


def digest_of(parts):
    """The SHA-256 of texts, each behind its length in eight bytes; what is absent has the largest length."""
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            digest.update(b"\xff" * 8)
        else:
            text = part.encode()
            digest.update(struct.pack(">Q", len(text)) + text)
    return digest.hexdigest()


def committed(entry, field):
    """The commitment to a value: computed from salt and value, or what is left of a value that was erased."""
    value, salt, left = entry[field], entry[field + "_salt"], entry[field + "_commitment"]
    if value is not None and salt is not None and left is None:
        return hashlib.sha256(bytes.fromhex(salt) + value.encode()).hexdigest()
    if value is not None or salt is not None:
        fail(f"entry {entry['sequence']}: its {field} and what belongs to it do not go together")
    return left


def is_signed(message, seal, keys):
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2.2)."""
    number = lambda text: int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    key = next((key for key in keys["keys"] if key["kid"] == seal["kid"]), None)
    if key is None or seal["alg"] != "RS256":
        return False
    modulus, exponent = number(key["n"]), number(key["e"])
    size = (modulus.bit_length() + 7) // 8
    info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(message).digest()
    padded = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
    return pow(number(seal["signature"]), exponent, modulus).to_bytes(size, "big") == padded


lines = open(sys.argv[1], "rb").read().splitlines(keepends=True)
keys = json.load(open(sys.argv[2]))
if len(lines) < 2:
    fail("the file ends before its signature")
heading, seal = json.loads(lines[0]), json.loads(lines[-1])
if heading["form"] != "bulkhead-audit-export-1":
    fail("another form of file")
previous, sequence, last = heading["previous"], heading["first"] or 1, heading["last"] or 0
for line in lines[1:-1]:
    entry = json.loads(line)
    if entry["sequence"] != sequence:
        fail(f"entry {sequence} is not where it should be")
    computed = digest_of([
        "bulkhead-audit-1", heading["chain"], str(sequence), previous, entry["id"], entry["at"], entry["actor"],
        entry["act"], entry["action"], entry["target"], entry["request_id"],
        committed(entry, "address"), committed(entry, "changes"),
    ])
    if computed != entry["hash"]:
        fail(f"entry {sequence} is not what was chained")
    previous, sequence = computed, sequence + 1
if sequence != last + 1:
    fail(f"entry {sequence} is missing")
digest = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
if not is_signed(f"bulkhead-audit-export-1\n{digest}".encode(), seal, keys):
    fail("the signature is not good")
print(f"{heading['chain']}: {len(lines) - 2} entries verified, up to the hash {previous}")
