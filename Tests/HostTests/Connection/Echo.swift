import Glibc
import Pipeline
import WeftTesting

@testable import Host


/// A service that speaks an echo after an upgrade, and what a caller says to get there.
enum Echo {
    static let agreement = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

    static func ask(_ target: String = "/chat", host: String = "a", _ more: String = "") -> String {
        "GET \(target) HTTP/1.1\r\nHost: \(host)\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\(more)\r\n"
    }

    /// Sends back what comes, until it ends.
    @Sendable static func serve(_ service: RawConnection, _: Int) {
        guard !service.readHead().isEmpty else { return }
        service.send(agreement)
        while case let piece = service.readSome(), !piece.isEmpty { service.send(piece) }
    }
}

extension RawConnection {
    /// What is there, at least a byte; empty at the end.
    func readSome() -> [UInt8] {
        let early = takeBuffered()
        if !early.isEmpty { return early }
        var piece = [UInt8](repeating: 0, count: 65_536)
        let count = receive(&piece, piece.count)
        return count > 0 ? Array(piece[..<count]) : []
    }

    /// What is here, or will be first, and stays to be read.
    func peekSome() -> [UInt8] {
        var piece = [UInt8](repeating: 0, count: 1_024)
        let count = peek(&piece, piece.count)
        return count > 0 ? Array(piece[..<count]) : []
    }

    /// How the stream ends, whatever still comes before that.
    enum Ending: Equatable { case finished, reset, timedOut }

    func ending() -> Ending {
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = receive(&piece, piece.count)
            if count == 0 { return .finished }
            if count < 0 { return errno == EAGAIN ? .timedOut : .reset }
        }
    }

    /// Whether anything arrives within this time.
    func hearsNothing(milliseconds: Int32) -> Bool {
        var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&poller, 1, milliseconds) == 0
    }

    /// Asks for the echo; the head of the answer.
    func upgrade(_ target: String = "/chat", host: String = "a") -> String {
        send(Echo.ask(target, host: host))
        return readHead()
    }
}

extension RelayWorld {
    func ended(_ why: String) -> Int { tunnelsEnded(plane, why) }
    var open: Int64 { value("weft_tunnels") }
}

func tunnelsEnded(_ plane: Dataplane, _ why: String) -> Int {
    let series = plane.context.stats.read().first { $0.name == "weft_tunnels_ended_total" && $0.labels.contains(.init("why", why)) }
    guard case .counter(let value)? = series?.value else { return -1 }
    return Int(value)
}

func soon(_ what: () -> Bool) -> Bool {
    let end = Clock.monotonic() + Patience.seconds(20)
    while !what() {
        guard Clock.monotonic() < end else { return false }
        usleep(2_000)
    }
    return true
}
