import Glibc
import Pipeline
import Testing

@testable import Host

extension Dataplane {
    /// Open connections by who says so, whose they are, and the version. At the destination that is its own name: `Peers`
    /// belongs to the process, and calls a caller what the first data path of these tests called it.
    fileprivate var openConnections: [[String]: Int64] {
        context.stats.read().reduce(into: [:]) { result, series in
            guard series.name == ConnectionSeries.name, case .gauge(let open) = series.value else { return }
            let labels = Dictionary(uniqueKeysWithValues: series.labels.map { ($0.name, $0.value) })
            let own = labels["reporter"] == "source" ? labels["source"] : labels["destination"]
            result[[labels["reporter"] ?? "", own ?? "", labels["version"] ?? ""], default: 0] += open
        }
    }
}

@Suite("Counted connections", .serialized)
struct CountedConnectionTests {
    private let source = ["source", "a", "none"]
    private let destination = ["destination", "a", "none"]

    /// Up to ten seconds: the other end hears of a close a little later.
    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<2_000 {
            if condition() { return true }
            usleep(5_000)
        }
        return false
    }

    @Test("A connection between two sidecars counts at both ends, once each, over all loops, until it closes", arguments: [1, 3])
    func counts(_ workers: Int) throws {
        let authority = try TestAuthority()
        let pair = try MeshPair(caller: authority.workload("order"), authority: authority, workers: workers)
        #expect(pair.calling.openConnections.isEmpty && pair.called.openConnections.isEmpty)
        for _ in 0..<12 { #expect(try pair.status() == "200") }
        let open = try #require(pair.calling.openConnections[source])
        #expect(open >= 1 && open <= Int64(workers), "one per loop that was used: they are pooled, and carry the next call")
        #expect(pair.calling.openConnections.count == 1)
        #expect(pair.called.openConnections == [destination: open])
        // New trust closes what is idle.
        pair.calling.setTLS(server: nil, client: nil, trustChanged: true)
        #expect(eventually { pair.calling.openConnections == [source: 0] && pair.called.openConnections == [destination: 0] })
    }

    @Test("A snapshot that names the service otherwise moves what is open, and nothing is lost or counted twice")
    func swaps() throws {
        let authority = try TestAuthority()
        let pair = try MeshPair(caller: authority.workload("order"), authority: authority)
        #expect(try pair.status() == "200")
        var snapshot = DataplaneTests.snapshot()
        snapshot.access.mtls = .strict
        for round in 1...3 {
            snapshot.traffic.workload.version = "v\(round)"
            try pair.called.apply(snapshot)
        }
        let moved = ["destination", "a", "v3"]
        #expect(eventually { pair.called.openConnections[moved] == 1 })
        #expect(pair.called.openConnections.values.reduce(0, +) == 1)
        // The caller's next request goes over the same connection, under the caller's new name.
        var outside = DataplaneTests.snapshot()
        outside.chain.outbound[0].config = "{\"endpoint\":1}"
        outside.traffic.workload.service = "b"
        try pair.calling.apply(outside)
        #expect(try pair.status() == "200")
        #expect(pair.calling.openConnections == [source: 0, ["source", "b", "none"]: 1])
    }

    @Test("Calls that are given up leave nothing counted")
    func aborted() throws {
        let authority = try TestAuthority()
        let pair = try MeshPair(caller: authority.workload("order"), authority: authority, workers: 2, answers: false)
        for round in 0..<30 {
            let callers = try (0..<6).map { _ in try RawConnection(to: pair.calling.addresses.proxy!) }
            for caller in callers { caller.send("GET http://payment.weft/ HTTP/1.1\r\nHost: payment.weft\r\n\r\n") }
            // Some leave before the handshake is through, some while the service thinks.
            if round % 3 == 0 { _ = eventually { (pair.called.openConnections[destination] ?? 0) >= 3 } }
            for caller in callers { caller.close() }
        }
        let isOver = eventually { pair.calling.openConnections[source] == 0 && pair.called.openConnections[destination] == 0 }
        #expect(isOver, "\(pair.calling.openConnections) \(pair.called.openConnections)")
    }

    @Test("Neither callers that prove nothing nor the application behind count for a pair")
    func others() throws {
        let authority = try TestAuthority(), stranger = try TestAuthority()
        let pair = try MeshPair(caller: stranger.workload("order"), authority: authority)
        #expect(try pair.status() == "503")
        #expect(eventually { pair.calling.openConnections.values.allSatisfy { $0 == 0 } })
        #expect(pair.called.openConnections.isEmpty)
    }
}
