import Host
import LoopbackTesting
import Pipeline
import Synchronization
import Testing

extension Loopback {
    /// Line 9, second half: bodies that no memory should hold.
    @Suite("Big bodies")
    struct BodyTests {
        private static let gibibyte = 1 << 30
        private static let growthMax = 8 << 20

        /// The most memory two sidecars held while `work` ran, beyond what they held before, sampled every 5 ms.
        private static func growth(of pair: Pair, _ work: () throws -> Void) throws -> [Int] {
            let processes = [pair.order.process, pair.payment.process]
            let before = processes.map(\.residentBytes)
            let peaks = Peaks(before)
            let watch = Watch(peaks: peaks)
            let watcher = Background("memory") {
                while !watch.isDone {
                    for (index, process) in processes.enumerated() { watch.peaks.note(index, process.residentBytes) }
                    pause(.milliseconds(5))
                }
            }
            defer {
                watch.finish()
                watcher.join()
            }
            try work()
            return zip(peaks.values, before).map { $0 - $1 }
        }

        @Test("1 GiB down and 1 GiB up: no sidecar grows by more than 8 MiB")
        func gibibyte() throws {
            let pair = try Pair()
            pair.payment.application.run { entry in entry.path == "/down" ? .bytes(Self.gibibyte) : .count }
            let client = pair.order.client(for: "payment", timeout: .seconds(120))
            #expect(try client.send("POST", "/warm", body: String(repeating: "x", count: 1 << 20)).body == "\(1 << 20)")
            let start = ContinuousClock.now
            let down = try Self.growth(of: pair) {
                let answer = try client.get("/down")
                #expect(answer.status == 200 && answer.bodyBytes == Self.gibibyte && !answer.isCut, "\(answer.bodyBytes)")
            }
            let between = ContinuousClock.now
            let up = try Self.growth(of: pair) {
                let stream = try client.connected()
                try stream.socket.write("POST /up HTTP/1.1\r\nhost: payment\r\ncontent-length: \(Self.gibibyte)\r\n\r\n")
                let piece = [UInt8](repeating: 0x75, count: 256 * 1024)
                for _ in 0..<Self.gibibyte / piece.count { try stream.socket.write(piece) }
                let answer = try client.answer(stream, "POST")
                #expect(answer.status == 200 && answer.body == "\(Self.gibibyte)", "\(answer)")
            }
            for (what, growth) in [("down", down), ("up", up)] {
                #expect(growth.allSatisfy { $0 <= Self.growthMax }, "\(what): order and payment grew by \(growth) bytes")
            }
            print("1 GiB down in \(between - start), RSS growth of order and payment \(down) bytes; up in \(ContinuousClock.now - between), \(up)")
        }

        @Test("A slow reader stalls the sender within the buffers' sum, and costs the sidecars no memory")
        func slowReader() throws {
            let pair = try Pair()
            pair.payment.application.always(.bytes(Self.gibibyte))
            let socket = try BlockingSocket(to: pair.order.address(for: "payment"), receiveBuffer: 256 * 1024)
            let growth = try Self.growth(of: pair) {
                try socket.write("GET /slow HTTP/1.1\r\nhost: payment\r\n\r\n")
                #expect(Self.stalls(pair.payment.application), "the sender is still sending")
            }
            let written = pair.payment.application.written
            // Per sidecar: what it wants out and one read on top, a TLS record under way; the rest is the kernel's, whose
            // bounds are its own: a send and a receive buffer for each of the three connections.
            let perSidecar = HostLimits.outputMax + 2 * 16 * 1024
            let kernel = try Self.kernelBuffers()
            #expect(written <= 2 * perSidecar + 3 * kernel, "\(written) bytes left the sender; the buffers hold \(2 * perSidecar) and the kernel \(3 * kernel)")
            #expect(growth.allSatisfy { $0 <= 1 << 20 }, "grew by \(growth)")
            print("slow reader: the sender got rid of \(written) bytes, RSS growth \(growth)")
            // And it goes on when the reader does.
            let stream = HTTPStream(socket)
            let head = try stream.head()
            #expect(head.length == Self.gibibyte)
            #expect(Self.reads(written + (16 << 20), of: head, from: stream), "the stream does not go on")
            socket.finish()
            let gone = try eventually(within: .seconds(10)) { MetricsPage(try pair.order.metrics()).sum("weft_stats_in_flight") == 0 }
            #expect(gone, "the caller left, and so must the exchange")
        }

        /// Whether a sender that began to send comes to a stop for a second.
        private static func stalls(_ service: FaultService) -> Bool {
            guard eventually(within: .seconds(5), { service.written > 0 }) else { return false }
            return eventually(within: .seconds(20)) {
                let before = service.written
                pause(.seconds(1))
                return service.written == before
            }
        }

        private static func reads(_ wanted: Int, of head: HTTPStream.Head, from stream: HTTPStream) -> Bool {
            var total = 0
            do {
                try stream.body(of: head) { piece in
                    total += piece.count
                    if total >= wanted { throw Enough() }
                }
            } catch {
                return error is Enough
            }
            return total >= wanted
        }

        /// The most a TCP connection's two buffers may hold.
        private static func kernelBuffers() throws -> Int {
            try ["tcp_rmem", "tcp_wmem"].reduce(0) { sum, name in
                let bytes = try Files.read("/proc/sys/net/ipv4/\(name)", limit: 4096)
                return sum + (String(decoding: bytes, as: UTF8.self).split { $0 == "\t" || $0 == "\n" || $0 == " " }.last.flatMap { Int($0) } ?? 0)
            }
        }
    }
}

/// Ends a body that was read far enough.
private struct Enough: Error {}

private final class Watch: Sendable {
    let peaks: Peaks
    private let done = Atomic<Bool>(false)
    init(peaks: Peaks) { self.peaks = peaks }
    var isDone: Bool { done.load(ordering: .acquiring) }
    func finish() { done.store(true, ordering: .releasing) }
}

private final class Peaks: Sendable {
    private let state: Mutex<[Int]>
    init(_ values: [Int]) { state = Mutex(values) }
    func note(_ index: Int, _ value: Int) { state.withLock { $0[index] = max($0[index], value) } }
    var values: [Int] { state.withLock { $0 } }
}
