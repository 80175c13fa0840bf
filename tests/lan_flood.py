"""A machine gone mad: random ARP claims and DHCP offers on eth0, as fast as it goes, for ever."""

import random
import socket

from collectors.netprobe.wire import checksum

EVERYBODY, COOKIE = b"\xff" * 6, b"\x63\x82\x53\x63"


def claim(chance: random.Random) -> bytes:
    mac = b"\x02" + chance.randbytes(5)
    head = EVERYBODY + mac + b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02"
    return head + mac + chance.randbytes(4) + EVERYBODY + bytes(4)


def offer(chance: random.Random) -> bytes:
    mac, server = b"\x02" + chance.randbytes(5), b"\x0a" + chance.randbytes(3)
    options = b"\x35\x01\x02\x36\x04" + server + b"\xff"
    said = b"\x02\x01\x06\x00" + bytes(12) + chance.randbytes(4) + bytes(216) + COOKIE + options
    udp = b"\x00\x43\x00\x44" + (len(said) + 8).to_bytes(2) + bytes(2) + said
    ip = b"\x45\x00" + (len(udp) + 20).to_bytes(2) + bytes(4) + b"\x40\x11"
    total = checksum(ip + bytes(2) + server + b"\xff" * 4).to_bytes(2)  # bridges look at it
    return EVERYBODY + mac + b"\x08\x00" + ip + total + server + b"\xff" * 4 + udp


def main() -> None:
    chance = random.Random(7)
    frames = [claim(chance) for _ in range(5000)] + [offer(chance) for _ in range(1000)]
    chance.shuffle(frames)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind(("eth0", 0))
        print("begun", flush=True)
        while True:
            for frame in frames:
                sock.send(frame)


if __name__ == "__main__":
    main()
