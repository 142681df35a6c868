/// One header line of a received head: where its name and value stand, counted from the head's first byte.
///
/// 16-bit offsets suffice because a head is at most 60 KiB (`HTTP1Limits`).
package struct HeaderField: BitwiseCopyable {
    package var nameOffset: UInt16
    package var nameCount: UInt16
    package var valueOffset: UInt16
    /// Without the white space around it.
    package var valueCount: UInt16
    /// `HeaderName.tag(of:)` of the name.
    package var tag: UInt32

    package init(nameOffset: UInt16, nameCount: UInt16, valueOffset: UInt16, valueCount: UInt16, tag: UInt32) {
        self.nameOffset = nameOffset
        self.nameCount = nameCount
        self.valueOffset = valueOffset
        self.valueCount = valueCount
        self.tag = tag
    }
}

/// Header lines as a parser left them: the bytes stay where they were received, this says where each line is.
///
/// The owner of the exchange provides `fields` (room for `capacity` lines) and pins `base` until the last outcome.
@unsafe
package struct HeaderTable: BitwiseCopyable {
    package var base: UnsafePointer<UInt8>?
    package var fields: UnsafeMutablePointer<HeaderField>?
    package var count: Int32 = 0
    package var capacity: Int32 = 0
    /// The lines stand in memory as HTTP/1 writes them, `name: value CRLF` one after the other in table order: then a run of
    /// them is copied at once. `HPACKDecoder` lays text out in the same way.
    package var isWireFormat = false

    package init() {}

    package init(fields: UnsafeMutablePointer<HeaderField>, capacity: Int) {
        unsafe self.fields = fields
        unsafe self.capacity = Int32(capacity)
    }

    @inline(__always)
    package func name(_ index: Int) -> Bytes {
        let field = unsafe fields.unsafelyUnwrapped[index]
        return unsafe Bytes(base.unsafelyUnwrapped + Int(field.nameOffset), count: Int(field.nameCount))
    }

    @inline(__always)
    package func value(_ index: Int) -> Bytes {
        let field = unsafe fields.unsafelyUnwrapped[index]
        return unsafe Bytes(base.unsafelyUnwrapped + Int(field.valueOffset), count: Int(field.valueCount))
    }

    @inline(__always)
    package func tag(_ index: Int) -> UInt32 { unsafe fields.unsafelyUnwrapped[index].tag }

    /// The first line at or after `start` with this name; -1 if there is none.
    @inline(__always)
    package func firstIndex(of wanted: HeaderName, from start: Int = 0) -> Int {
        var index = start
        while unsafe index < Int(count) {
            if unsafe fields.unsafelyUnwrapped[index].tag == wanted.tag, unsafe wanted.matches(name(index), tag: wanted.tag) {
                return index
            }
            index &+= 1
        }
        return -1
    }
}

/// The methods routing and retries tell apart; any other token is `.other` and keeps its bytes.
@frozen
public enum Method: UInt8, BitwiseCopyable, Sendable {
    case get, head, post, put, delete, connect, options, trace, patch, other

    /// RFC 9110 §9.2.2.
    public var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .connect, .patch, .other: false
        }
    }
}

/// How a message's body is delimited (RFC 9112 §6).
@frozen
public enum BodyFraming: BitwiseCopyable, Equatable, Sendable {
    case none
    case length(Int64)
    case chunked
    /// Responses only: the body ends where the connection does.
    case untilClose

    /// Whether it is known from the head that no byte of a body can come. `.length(0)` is kept apart from `.none` because
    /// servers may insist on a content-length (411).
    public var isEmpty: Bool { self == .none || self == .length(0) }
}

/// A request head as received. All bytes are views into the receive buffer or into the exchange's arena.
@unsafe
package struct RequestHead: BitwiseCopyable {
    package var method: Method = .other
    package var methodText: Bytes = .empty
    /// As it will be forwarded: origin form (`/a?b`), or `*`.
    package var target: Bytes = .empty
    /// The canonical path without the query: what every policy matches *and* what is forwarded.
    package var path: Bytes = .empty
    /// The query without its `?`; empty if there is none.
    package var query: Bytes = .empty
    /// From Host or an absolute-form target.
    package var authority: Bytes = .empty
    /// 0 or 1 of HTTP/1.x.
    package var minorVersion: UInt8 = 1
    /// Whether the caller lets the connection stay open after the response.
    package var keepsAlive = true
    package var expectsContinue = false
    /// The target was in absolute form (`http://payment.weft/`), as a proxy receives it.
    package var isAbsoluteForm = false
    package var framing: BodyFraming = .none
    /// The caller would like another protocol, one that may travel on (``Upgrade``), and has sent no body; its `upgrade` lines are
    /// among `dropped`.
    package var asksUpgrade = false
    /// Lines that end here: hop-by-hop ones, those Connection names, and those the encoder writes anew.
    package var dropped = FieldMask()
    /// Lines that came as never to be indexed, and stay so where HTTP/2 carries them on (RFC 7541 §6.2.3).
    package var sensitive = FieldMask()
    /// What the lines say about the hops before this one.
    package var forwarding = ForwardingFields()
    package var headers = unsafe HeaderTable()

    package init() {}
}

/// A response head as received.
@unsafe
package struct ResponseHead: BitwiseCopyable {
    package var status: UInt16 = 0
    package var reason: Bytes = .empty
    package var minorVersion: UInt8 = 1
    package var keepsAlive = true
    package var framing: BodyFraming = .none
    /// It names a protocol in `upgrade`, and `connection` says so.
    package var namesUpgrade = false
    /// As in ``RequestHead/dropped``. The content-length of a response that has no body (to HEAD, 304) is not among them.
    package var dropped = FieldMask()
    /// As in ``RequestHead/sensitive``.
    package var sensitive = FieldMask()
    package var headers = unsafe HeaderTable()

    package init() {}
}
