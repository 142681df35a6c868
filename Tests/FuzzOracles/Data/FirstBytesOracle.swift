import Pipeline

/// What a connection's first bytes say: the same however reads cut them, read inside of them, and a PROXY header written anew reads as
/// the same.
enum FirstBytesOracle {
    private enum Hello: Equatable {
        case needMore, notTLS, unreadable
        case hello(name: [UInt8], offersHTTP2: Bool, offersMesh: Bool)
    }

    static func check(_ input: UnsafeRawBufferPointer) throws {
        let cuts = Cuts(input)
        let bytes = Array(cuts.payload)
        try expectSame(cuts, bytes, undecided: .needMore) { hello($0) }
        try expectSame(cuts, bytes, undecided: .needMore) { ProxyHeader.read($0) }
        var detector = ProtocolDetector(openedAt: .zero)
        let verdict = cuts.payload.withExact { detector.look(at: $0, now: .zero) }
        detector = ProtocolDetector(openedAt: .zero)
        try expectSame(cuts, bytes, undecided: .undecided, whole: verdict) { detector.look(at: $0, now: .zero) }
        // Who is one thing is no other.
        if case .header = cuts.payload.withExact({ ProxyHeader.read($0) }) {
            try expect(verdict == .opaque(.unknownBytes), "a PROXY header, and \(verdict)")
        }
        if case .hello = cuts.payload.withExact({ hello($0) }) { try expect(verdict == .found(.tls), "a ClientHello, and \(verdict)") }
        guard case .header(let header, let count) = cuts.payload.withExact({ ProxyHeader.read($0) }) else { return }
        try expect(count >= 16 && count <= min(bytes.count, ProxyHeader.bytesMax), "a header of \(count) bytes")
        guard !header.source.isNone, !header.destination.isNone else { return }
        var space = [UInt8](repeating: 0, count: ProxyHeader.writtenMax)
        let written = space.withUnsafeMutableBufferPointer { header.write(to: $0.baseAddress!) }
        try expect(written <= ProxyHeader.writtenMax, "written in \(written) bytes")
        let back = space[..<written].withUnsafeBytes { $0.withExact { ProxyHeader.read($0) } }
        try expect(back == .header(header, count: written), "\(header) was written as \(back)")
    }

    /// The first answer to growing pieces is the answer to all of it.
    private static func expectSame<Answer: Equatable>(
        _ cuts: Cuts, _ bytes: [UInt8], undecided: Answer, whole: Answer? = nil, _ read: (Bytes) -> Answer
    ) throws {
        let whole = whole ?? cuts.payload.withExact(read)
        guard !cuts.sizes.isEmpty else { return }
        var (answer, end, turn) = (undecided, 0, 0)
        while answer == undecided, end < bytes.count {
            end = min(bytes.count, end + cuts.sizes[turn % cuts.sizes.count])
            turn += 1
            answer = UnsafeRawBufferPointer(rebasing: cuts.payload[..<end]).withExact(read)
        }
        try expect(answer == whole, "after \(end) of \(bytes.count) bytes \(answer), whole \(whole)")
    }

    private static func hello(_ bytes: Bytes) -> Hello {
        switch ClientHello.read(bytes) {
        case .needMore: .needMore
        case .notTLS: .notTLS
        case .unreadable: .unreadable
        case .hello(let hello): .hello(name: hello.serverName.array, offersHTTP2: hello.offers("h2"), offersMesh: hello.offers("weft-tcp"))
        }
    }
}

extension UnsafeRawBufferPointer {
    /// The same bytes in memory that ends where they do.
    func withExact<Answer>(_ body: (Bytes) -> Answer) -> Answer {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
        defer { memory.deallocate() }
        memory.copyMemory(from: self)
        return body(Bytes(UnsafeRawBufferPointer(memory)))
    }
}
