"""A WebSocket (RFC 6455) service and its client, with nothing but Python's own library: somebody else's program for the tests.

    websocket.py serve FILE                  serves on a port of the kernel's choice, and writes it to FILE
    websocket.py talk ADDRESS HOST SCENARIO  one connection; says what happened, exit 0 if that is as it should be

Service: /chat echoes, /big sends ten megabytes in messages and closes, /404 and /200 refuse.
Client: echo, big (read slowly), hold (waits for the end), refused-STATUS.
"""
import base64, hashlib, os, socket, struct, sys, threading, time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BIG = bytes(range(256)) * 256
BIG_COUNT = 160


class Stream:
    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    def exactly(self, count):
        while len(self.buffer) < count:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            self.buffer += piece
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            self.buffer += piece
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.split(b"\r\n")
        fields = {}
        for line in lines[1:]:
            name, value = line.split(b":", 1)
            fields.setdefault(name.strip().lower(), []).append(value.strip())
        return lines[0].split(b" ", 2), fields

    def frame(self, is_masked):
        first, second = self.exactly(2)
        assert first & 0x70 == 0 and (second & 0x80 != 0) == is_masked, "bits"
        count = second & 0x7F
        if count == 126:
            count, = struct.unpack("!H", self.exactly(2))
        elif count == 127:
            count, = struct.unpack("!Q", self.exactly(8))
        mask = self.exactly(4) if is_masked else b""
        data = self.exactly(count)
        return first & 0x80 != 0, first & 0x0F, apply(mask, data) if mask else data

    def send(self, kind, data, masks, last=True):
        head = bytes([(0x80 if last else 0) | kind])
        bit = 0x80 if masks else 0
        if len(data) < 126:
            head += bytes([bit | len(data)])
        elif len(data) < 65536:
            head += struct.pack("!BH", bit | 126, len(data))
        else:
            head += struct.pack("!BQ", bit | 127, len(data))
        mask = os.urandom(4) if masks else b""
        self.sock.sendall(head + mask + (apply(mask, data) if masks else data))


def apply(mask, data):
    if not data:
        return data
    long = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(long, "big")).to_bytes(len(data), "big")


def accept(key):
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def serve_one(sock):
    stream = Stream(sock)
    try:
        while True:
            line, fields = stream.head()
            path = line[1]
            if b"upgrade" not in fields:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")
                continue
            assert [value.lower() for value in fields[b"upgrade"]] == [b"websocket"] and b"upgrade" in fields[b"connection"][0].lower()
            assert fields[b"sec-websocket-version"] == [b"13"]
            if path in (b"/404", b"/200"):
                sock.sendall(b"HTTP/1.1 %s No\r\nContent-Length: 2\r\n\r\nno" % path[1:])
                continue
            break
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
            % accept(fields[b"sec-websocket-key"][0])
        )
        if path == b"/big":
            for _ in range(BIG_COUNT):
                stream.send(2, BIG, False)
            stream.send(8, struct.pack("!H", 1000), False)
        while True:
            last, kind, data = stream.frame(True)
            if kind == 8:
                if path != b"/big":
                    stream.send(8, data, False)
                break
            if kind == 9:
                stream.send(10, data, False)
            elif kind != 10:
                stream.send(kind, data, False, last)
    except (EOFError, OSError):
        pass
    finally:
        sock.close()


def serve(file):
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    with open(file + ".new", "w") as out:
        out.write(str(listener.getsockname()[1]))
    os.rename(file + ".new", file)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_one, args=(sock,), daemon=True).start()


def connect(address, host, path, receive_buffer=0):
    ip, port = address.rsplit(":", 1)
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(30)
    sock.connect((ip, int(port)))
    stream = Stream(sock)
    return stream, ask(stream, host, path)


def ask(stream, host, path):
    key = base64.b64encode(os.urandom(16))
    stream.sock.sendall(
        b"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n"
        % (path.encode(), host.encode(), key)
    )
    line, fields = stream.head()
    status = int(line[1])
    if status == 101:
        assert fields[b"sec-websocket-accept"] == [accept(key)], "the key's answer"
        assert [value.lower() for value in fields[b"upgrade"]] == [b"websocket"] and fields[b"connection"][0].lower() == b"upgrade"
    else:
        stream.exactly(int(fields[b"content-length"][0]))
    return status


def message(stream):
    whole = b""
    while True:
        last, kind, data = stream.frame(False)
        whole += data
        if last:
            return kind, whole


def talk(address, host, scenario):
    if scenario.startswith("refused-"):
        wanted = int(scenario[8:])
        stream, status = connect(address, host, "/%d" % wanted)
        assert status == wanted, status
        # The connection is an HTTP connection still.
        assert ask(stream, host, "/%d" % wanted) == wanted
        print("refused with %d" % status)
        return
    stream, status = connect(address, host, "/big" if scenario == "big" else "/chat", 8192 if scenario == "big" else 0)
    assert status == 101, status
    print("open", flush=True)
    if scenario == "echo":
        for count in [0, 1, 125, 126, 127, 4096, 65535, 65536, 300000]:
            data = os.urandom(count)
            stream.send(2, data, True)
            assert message(stream) == (2, data), count
        stream.send(1, b"hel", True, False)
        stream.send(0, b"lo", True)
        assert stream.frame(False) == (False, 1, b"hel") and stream.frame(False) == (True, 0, b"lo")
        stream.send(9, b"are you there", True)
        assert message(stream) == (10, b"are you there")
        stream.send(8, struct.pack("!H", 1000) + b"bye", True)
        assert message(stream) == (8, struct.pack("!H", 1000) + b"bye")
        assert stream.sock.recv(1) == b"", "the end"
    elif scenario == "big":
        time.sleep(0.5)
        for number in range(BIG_COUNT):
            assert message(stream) == (2, BIG), number
            if number % 40 == 0:
                time.sleep(0.1)
        assert message(stream) == (8, struct.pack("!H", 1000))
        stream.send(8, struct.pack("!H", 1000), True)
        assert stream.sock.recv(1) == b"", "the end"
    elif scenario == "hold":
        stream.send(1, b"hello", True)
        assert message(stream) == (1, b"hello")
        try:
            print("finished" if stream.sock.recv(1) == b"" else "bytes")
        except ConnectionResetError:
            print("reset")
        return
    print("done")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        talk(*sys.argv[2:5])
