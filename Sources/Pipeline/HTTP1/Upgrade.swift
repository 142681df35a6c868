/// The wish for another protocol on the same connection (RFC 9110 §7.8): what of it may travel on, and whether an answer fits it.
///
/// Every hop says it anew, like `Connection` itself. Other versions of HTTP (`h2c`) and TLS do not travel on: the requests inside
/// would pass by every policy unseen, and how two hops talk to each other is not the application's affair.
package enum Upgrade {
    package static let header: HeaderName = "upgrade"

    package enum Offer: Equatable, Sendable {
        /// Nothing that may travel on.
        case nothing
        case some
        case malformed
    }

    /// What the `upgrade` lines of a head offer; only asked if `connection` names them.
    package static func offer(of headers: HeaderTable) -> Offer {
        var offers = false
        var protocols = unsafe Protocols(headers)
        var count = 0
        while let name = protocols.next() {
            count &+= 1
            guard count <= HTTP1Limits.upgradeProtocolsMax, isProtocol(name) else { return .malformed }
            if mayTravel(name) { offers = true }
        }
        return offers ? .some : .nothing
    }

    /// The two lines of a request that asks for another protocol.
    package static func writeOffer(of headers: HeaderTable, to writer: inout HeadWriter) {
        writer.append(Bytes("connection: upgrade\r\nupgrade: "))
        var isFirst = true
        var protocols = unsafe Protocols(headers)
        while let name = protocols.next() {
            guard mayTravel(name) else { continue }
            if !isFirst { writer.append(Bytes(", ")) }
            isFirst = false
            writer.append(name)
        }
        writer.append(Bytes("\r\n"))
    }

    /// Whether a 101 with `headers` switches to what the request with `offer` asked for, and to nothing else.
    package static func isAgreed(_ headers: HeaderTable, on offer: HeaderTable) -> Bool {
        var agreed = unsafe Protocols(headers)
        var count = 0
        while let name = agreed.next() {
            count &+= 1
            guard count <= HTTP1Limits.upgradeProtocolsMax, mayTravel(name), unsafe isOffered(name, by: offer) else { return false }
        }
        return count > 0
    }

    /// The two lines of the 101 that passes on `headers`, which are agreed.
    package static func writeAgreement(_ headers: HeaderTable, to writer: inout HeadWriter) { unsafe writeOffer(of: headers, to: &writer) }

    // MARK: Parts

    private static func isOffered(_ name: Bytes, by offer: HeaderTable) -> Bool {
        var offered = unsafe Protocols(offer)
        while let other = offered.next() {
            if name.equalsFolded(other) { return true }
        }
        return false
    }

    private static func mayTravel(_ name: Bytes) -> Bool {
        let kind = name.slice(0, slash(in: name))
        return !(kind.equalsFolded("h2c") || kind.equalsFolded("h2") || kind.equalsFolded("http") || kind.equalsFolded("tls"))
    }

    /// `name` or `name/version`, both tokens.
    private static func isProtocol(_ name: Bytes) -> Bool {
        let end = slash(in: name)
        guard name.slice(0, end).isToken else { return false }
        return end == name.count || name.slice(end &+ 1, name.count).isToken
    }

    private static func slash(in name: Bytes) -> Int {
        var position = 0
        while position < name.count, name[position] != UInt8(ascii: "/") { position &+= 1 }
        return position
    }
}

/// The elements of all `upgrade` lines of a head, in order.
@safe
private struct Protocols {
    private let headers: HeaderTable
    private var line: Int
    private var elements = ListElements(.empty)

    init(_ headers: HeaderTable) {
        unsafe self.headers = headers
        line = -1
    }

    mutating func next() -> Bytes? {
        while true {
            if let element = elements.next() { return element }
            line = unsafe headers.firstIndex(of: Upgrade.header, from: line &+ 1)
            guard line >= 0 else { return nil }
            elements = unsafe ListElements(headers.value(line))
        }
    }
}
