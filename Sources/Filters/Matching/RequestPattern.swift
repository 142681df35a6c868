import Pipeline

/// One entry of `matches`: path, method and headers, all of which must match. Plain old data.
struct RequestPattern: BitwiseCopyable {
    let path: PathPattern
    /// Empty: every method.
    private let method: Bytes
    private let headers: PinnedTable<HeaderPattern>
    /// It names a header that cannot exist.
    private let isImpossible: Bool

    /// Takes every request.
    static var any: RequestPattern { RequestPattern() }

    private init() { (path, method, headers, isImpossible) = (.any, .empty, PinnedTable(), false) }

    init(_ entry: TrafficPart.MatchEntry, in memory: PinnedMemory) {
        let headers = entry.headers.map { HeaderPattern($0, in: memory) }
        path = PathPattern(entry.path, in: memory)
        method = entry.method.map(memory.text) ?? .empty
        self.headers = memory.table(headers.compactMap(\.self))
        isImpossible = headers.contains { $0 == nil }
    }

    func matches(_ exchange: borrowing Exchange) -> Bool {
        path.matches(exchange.storage.pathNow) && matchesBesidesPath(exchange)
    }

    /// Whether method and headers match.
    func matchesBesidesPath(_ exchange: borrowing Exchange) -> Bool {
        if isImpossible { return false }
        if !method.isEmpty, !exchange.storage.pointee.request.methodText.equals(method) { return false }
        var index = 0
        while index < headers.count {
            if !headers[index].matches(exchange) { return false }
            index &+= 1
        }
        return true
    }
}

/// What one header must look like. A header that stands there twice has no value to compare.
private struct HeaderPattern: BitwiseCopyable {
    private enum Kind: UInt8, BitwiseCopyable { case exact, prefix, present, absent }

    private let name: HeaderName
    private let kind: Kind
    private let text: Bytes

    init?(_ entry: TrafficPart.HeaderEntry, in memory: PinnedMemory) {
        guard let name = HeaderName(entry.name) else { return nil }
        self.name = name
        switch entry.value {
        case .exact(let value): (kind, text) = (.exact, memory.text(value))
        case .prefix(let value): (kind, text) = (.prefix, memory.text(value))
        case .present(let flag): (kind, text) = (flag ? .present : .absent, .empty)
        }
    }

    func matches(_ exchange: borrowing Exchange) -> Bool {
        let headers = exchange.request.headers
        switch kind {
        case .exact: return headers.sole(name)?.equals(text) ?? false
        case .prefix: return headers.sole(name)?.hasPrefix(text) ?? false
        case .present: return headers.count(of: name) > 0
        case .absent: return headers.count(of: name) == 0
        }
    }
}

extension PinnedTable<RequestPattern> {
    /// The first entry of `range` that matches, counted from its start; 0 if there is no entry at all; -1 if none matches.
    func firstMatch(in range: TableRange, _ exchange: borrowing Exchange) -> Int {
        if range.count == 0 { return 0 }
        var index = range.start
        while index < range.end {
            if self[Int(index)].matches(exchange) { return Int(index &- range.start) }
            index &+= 1
        }
        return -1
    }
}
