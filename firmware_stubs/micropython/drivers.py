"""What two common sensors say on the wire, as numbers. Bytes in, measures out; no I/O.

PMS5003: Plantower data manual, 32-byte frame. SHT3x: Sensirion datasheet, CRC-8 0x31.
"""


class FrameError(ValueError):
    """The bytes are no whole, undamaged answer; read again."""


def pms5003(frame: bytes) -> dict[str, float]:
    """pm25 and pm10 in µg/m³ ("atmospheric environment") of one 32-byte frame."""
    if len(frame) != 32 or frame[:4] != b"BM\x00\x1c":
        raise FrameError("no PMS5003 frame")
    if sum(frame[:30]) & 0xFFFF != frame[30] << 8 | frame[31]:
        raise FrameError("PMS5003 checksum")
    return {"pm25": float(frame[12] << 8 | frame[13]), "pm10": float(frame[14] << 8 | frame[15])}


def sht3x(answer: bytes) -> dict[str, float]:
    """t in °C and rh in %RH of the 6 bytes that follow a measurement command."""
    if len(answer) != 6:
        raise FrameError("an SHT3x answers 6 bytes")
    for word, crc in ((answer[:2], answer[2]), (answer[3:5], answer[5])):
        if crc8(word) != crc:
            raise FrameError("SHT3x checksum")
    raw_t = answer[0] << 8 | answer[1]
    raw_rh = answer[3] << 8 | answer[4]
    return {"t": round(-45 + 175 * raw_t / 65535, 2), "rh": round(100 * raw_rh / 65535, 1)}


def crc8(data: bytes) -> int:
    """CRC-8 with polynomial 0x31 and start 0xFF."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc
