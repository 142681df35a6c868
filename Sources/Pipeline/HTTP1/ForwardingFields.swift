/// What a request's header lines say about the hops before this one, gathered line by line.
///
/// An index names the header's only line: -1 none, -2 several, which for anything but lists is a contradiction.
package struct ForwardingFields: BitwiseCopyable {
    package private(set) var claims = FieldMask()
    package private(set) var forwardedFor: Int8 = -1
    package private(set) var forwardedProto: Int8 = -1
    package private(set) var forwardedHost: Int8 = -1
    package private(set) var requestID: Int8 = -1
    /// The first of perhaps several lines.
    package private(set) var via: Int8 = -1
    /// Whether any line is a claim; which ones, `claims` says.
    package private(set) var hasClaims = false

    package init() {}

    /// Notes one line; whether the head's encoder is to leave it out, whoever sent it.
    package mutating func take(_ known: KnownField, index: Int) -> Bool {
        let line = Int8(truncatingIfNeeded: index)
        switch known {
        case .via:
            if via == -1 { via = line }
            return false
        case .requestID:
            requestID = requestID == -1 ? line : -2
            return false
        case .forwardedFor: forwardedFor = forwardedFor == -1 ? line : -2
        case .forwardedProto: forwardedProto = forwardedProto == -1 ? line : -2
        case .forwardedHost: forwardedHost = forwardedHost == -1 ? line : -2
        case .claim: break
        case .reserved: return true
        default: return false
        }
        hasClaims = true
        claims.insert(index)
        return false
    }

    /// None of the claims counts.
    fileprivate mutating func forget() {
        forwardedFor = -1
        forwardedProto = -1
        forwardedHost = -1
        hasClaims = false
        claims = FieldMask()
    }
}

/// Names this hop to others: what it writes into `via`, and finds there again if a request comes round.
@safe
package struct HopName: BitwiseCopyable {
    /// The pseudonym (RFC 9110 §7.6.3). One per process and direction, so that two sidecars of one host, or a request that
    /// leaves and enters through the same one, are different hops.
    package let pseudonym: Bytes
    /// `via: 1.1 <pseudonym>` and its CRLF.
    package let line: Bytes

    /// Memory that lives as long as the process.
    package init(_ text: String) {
        pseudonym = Self.pinned(text)
        line = Self.pinned("via: 1.1 \(text)\r\n")
    }

    private static func pinned(_ text: String) -> Bytes {
        let bytes = Array(text.utf8)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
        unsafe memory.initialize(from: bytes, count: bytes.count)
        return unsafe Bytes(UnsafePointer(memory), count: bytes.count)
    }
}

extension RequestHead {
    private static let viaName: HeaderName = "via"

    /// What is wrong with the way that a request came; called once, before anybody looks at its headers.
    ///
    /// Of a caller who may not say where requests come from, such lines are neither shown to filters nor passed on.
    package mutating func judgeHops(callerIsTrusted: Bool, hop: HopName) -> HTTP1Fault? {
        if unsafe forwarding.via >= 0, unsafe Self.passes(through: hop, headers, from: Int(forwarding.via)) > HTTP1Limits.passesMax { return .loop }
        guard unsafe forwarding.hasClaims, !callerIsTrusted else { return nil }
        var index = 0
        while unsafe index < Int(headers.count) {
            if unsafe forwarding.claims.contains(index) { unsafe hide(index) }
            index &+= 1
        }
        unsafe forwarding.forget()
        return nil
    }

    /// Takes a line out of sight: no lookup by name finds it, no encoder copies it. Its bytes stay.
    package mutating func hide(_ index: Int) {
        unsafe headers.fields.unsafelyUnwrapped[index].tag = 0
        unsafe dropped.insert(index)
    }

    /// How often this hop stands in `via`, the first line of which is `line`.
    private static func passes(through hop: HopName, _ headers: HeaderTable, from line: Int) -> Int {
        var count = 0
        var line = line
        while line >= 0 {
            var members = unsafe ListElements(headers.value(line))
            while let member = members.next() {
                // received-protocol RWS received-by [ RWS comment ]
                var start = member.firstInvisible(from: 0, to: member.count)
                while start < member.count, member[start] <= 0x20 { start &+= 1 }
                let end = member.firstInvisible(from: start, to: member.count)
                if member.slice(start, end).equals(hop.pseudonym) { count &+= 1 }
            }
            line = unsafe headers.firstIndex(of: Self.viaName, from: line &+ 1)
        }
        return count
    }
}
