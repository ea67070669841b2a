"""``java.util.Properties.load``, character by character, as its documentation has it."""

BLANKS = " \t\f"


def java_properties(text: str) -> dict[str, str]:
    """Keys and values; what Java refuses, a broken ``\\u``, is taken as the letters it is written with."""
    found: dict[str, str] = {}
    for line in _logical_lines(text):
        key, value = _split(line)
        found[key] = value
    return found


def _logical_lines(text: str) -> list[str]:
    lines: list[str] = []
    natural = text.splitlines()
    at = 0
    while at < len(natural):
        line = natural[at].lstrip(BLANKS)
        at += 1
        if not line or line[0] in "#!":
            continue
        while _ends_open(line):
            line = line[:-1]
            if at == len(natural):
                break
            line += natural[at].lstrip(BLANKS)
            at += 1
        if line:
            lines.append(line)
    return lines


def _ends_open(line: str) -> bool:
    backslashes = 0
    while backslashes < len(line) and line[-1 - backslashes] == "\\":
        backslashes += 1
    return backslashes % 2 == 1


def _split(line: str) -> tuple[str, str]:
    key_end = 0
    while key_end < len(line) and line[key_end] not in f"=:{BLANKS}":
        key_end += 2 if line[key_end] == "\\" else 1
    value_at, separated = key_end, False
    while value_at < len(line):
        if line[value_at] in "=:" and not separated:
            separated = True
        elif line[value_at] not in BLANKS:
            break
        value_at += 1
    return _plain(line[:key_end]), _plain(line[value_at:])


def _plain(text: str) -> str:
    units = bytearray()
    at = 0
    while at < len(text):
        one = text[at]
        at += 1
        if one == "\\":
            one = text[at : at + 1]
            at += 1
            digits = text[at : at + 4]
            if one == "u" and len(digits) == 4 and all(d in "0123456789abcdefABCDEF" for d in digits):
                units += int(digits, 16).to_bytes(2, "little")
                at += 4
                continue
            one = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(one, one)
        units += one.encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "replace")
