/// Text of a message, readable for the length of a call; keeping it does not compile. Copy it with ``string``.
@safe
public struct TextView: ~Escapable, BitwiseCopyable {
    package let bytes: Bytes

    @_lifetime(immortal)
    package init(unowned bytes: Bytes) { self.bytes = bytes }

    public var count: Int { bytes.count }
    public var isEmpty: Bool { bytes.isEmpty }
    /// An owned copy; invalid UTF-8 is repaired.
    public var string: String { bytes.string }

    public func equals(_ text: StaticString) -> Bool { bytes.equals(Bytes(text)) }
    public func hasPrefix(_ text: StaticString) -> Bool { bytes.hasPrefix(Bytes(text)) }

    /// The bytes, for the length of `body`.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try unsafe body(UnsafeRawBufferPointer(start: bytes.base, count: bytes.count))
    }
}

extension WordSet {
    public func contains(_ word: TextView) -> Bool { contains(word.bytes) }
}

/// A piece of a body, readable for the length of a call.
@safe
public struct BodyPiece: ~Copyable, ~Escapable {
    package let bytes: Bytes
    /// Nothing follows it; trailers, if any, came with it.
    public let isLast: Bool

    @_lifetime(immortal)
    package init(_ bytes: Bytes, isLast: Bool) {
        self.bytes = bytes
        self.isLast = isLast
    }

    public var count: Int { bytes.count }

    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try unsafe body(UnsafeRawBufferPointer(start: bytes.base, count: bytes.count))
    }
}

/// The header lines of a head as they stand now: received lines with the edits of the stages so far.
@safe
public struct HeadersView: ~Escapable, BitwiseCopyable {
    private let table: UnsafePointer<HeaderTable>
    private let edits: UnsafePointer<EditLog>

    @_lifetime(immortal)
    package init(table: UnsafePointer<HeaderTable>, edits: UnsafePointer<EditLog>) {
        unsafe self.table = table
        unsafe self.edits = edits
    }

    /// The sole value of a header; nil if it is absent or stands there more than once. Security filters want the difference:
    /// ``count(of:)``.
    public subscript(name: HeaderName) -> TextView? {
        @_lifetime(copy self)
        get {
            guard let bytes = sole(name) else { return nil }
            return unsafe _overrideLifetime(TextView(unowned: bytes), copying: self)
        }
    }

    /// How many lines have this name.
    public func count(of name: HeaderName) -> Int {
        var lines = 0
        forEach(name) { _ in lines += 1 }
        return lines
    }

    /// Calls `body` with every value of this name, in order.
    public func forEach(_ name: HeaderName, _ body: (borrowing TextView) -> Void) {
        var counted = true
        var edit = unsafe edits.pointee.first
        while let current = unsafe edit {
            if unsafe current.pointee.name == name, unsafe current.pointee.operation != .add { counted = false }
            unsafe edit = current.pointee.next
        }
        if counted {
            var index = unsafe table.pointee.firstIndex(of: name)
            while index >= 0 {
                unsafe body(TextView(unowned: table.pointee.value(index)))
                index = unsafe table.pointee.firstIndex(of: name, from: index + 1)
            }
        }
        unsafe edit = edits.pointee.first
        var pending: [Bytes] = []
        while let current = unsafe edit {
            if unsafe current.pointee.name == name {
                switch unsafe current.pointee.operation {
                case .set: pending = unsafe [current.pointee.value]
                case .add: unsafe pending.append(current.pointee.value)
                case .remove: pending = []
                case .path, .authority: break
                }
            }
            unsafe edit = current.pointee.next
        }
        for value in pending { body(TextView(unowned: value)) }
    }

    package func sole(_ name: HeaderName) -> Bytes? {
        if unsafe !edits.pointee.isEmpty {
            switch unsafe edits.pointee.answer(for: name) {
            case .untouched: break
            case .alsoAdded:
                return unsafe table.pointee.firstIndex(of: name) < 0 ? edits.pointee.soleAddition(of: name) : nil
            case .removed, .several: return nil
            case .value(let bytes): return bytes
            }
        }
        let index = unsafe table.pointee.firstIndex(of: name)
        guard index >= 0, unsafe table.pointee.firstIndex(of: name, from: index + 1) < 0 else { return nil }
        return unsafe table.pointee.value(index)
    }
}

extension EditLog {
    /// The one line added under this name, nil if there are several.
    fileprivate func soleAddition(of name: HeaderName) -> Bytes? {
        var found: Bytes?
        var edit = unsafe first
        while let current = unsafe edit {
            if unsafe current.pointee.name == name, unsafe current.pointee.operation == .add {
                guard found == nil else { return nil }
                found = unsafe current.pointee.value
            }
            unsafe edit = current.pointee.next
        }
        return found
    }
}

/// The request as it stands now.
@safe
public struct RequestView: ~Escapable, BitwiseCopyable {
    private let storage: UnsafeMutablePointer<ExchangeStorage>

    @_lifetime(immortal)
    package init(_ storage: UnsafeMutablePointer<ExchangeStorage>) { unsafe self.storage = storage }

    public var method: Method { unsafe storage.pointee.request.method }

    public var methodText: TextView {
        @_lifetime(copy self) get { text(unsafe storage.pointee.request.methodText) }
    }

    /// The canonical path, without the query; an edit shows.
    public var path: TextView {
        @_lifetime(copy self) get { text(unsafe storage.pathNow) }
    }

    public var query: TextView {
        @_lifetime(copy self) get { text(unsafe storage.pointee.request.query) }
    }

    /// Host, or the authority of an absolute-form target; an edit shows.
    public var authority: TextView {
        @_lifetime(copy self) get { text(unsafe storage.authorityNow) }
    }

    public var headers: HeadersView {
        @_lifetime(copy self)
        get {
            let view = unsafe HeadersView(
                table: UnsafePointer(storage.pointer(to: \.request.headers).unsafelyUnwrapped),
                edits: UnsafePointer(storage.pointer(to: \.requestEdits).unsafelyUnwrapped))
            return unsafe _overrideLifetime(view, copying: self)
        }
    }

    /// Nil if the length is not known beforehand.
    public var bodyLength: Int64? {
        switch unsafe storage.pointee.request.framing {
        case .none: 0
        case .length(let bytes): bytes
        case .chunked, .untilClose: nil
        }
    }

    @_lifetime(copy self)
    private func text(_ bytes: Bytes) -> TextView {
        unsafe _overrideLifetime(TextView(unowned: bytes), copying: self)
    }
}

/// The response as it stands now: the service's, or a reply made here.
@safe
public struct ResponseView: ~Escapable, BitwiseCopyable {
    private let storage: UnsafeMutablePointer<ExchangeStorage>

    @_lifetime(immortal)
    package init(_ storage: UnsafeMutablePointer<ExchangeStorage>) { unsafe self.storage = storage }

    /// 0 while there is none.
    public var status: Int { unsafe Int(storage.pointee.response.status) }
    /// Made by this sidecar rather than by the service.
    public var isLocalReply: Bool { unsafe storage.pointee.isLocalReply }

    public var headers: HeadersView {
        @_lifetime(copy self)
        get {
            let view = unsafe HeadersView(
                table: UnsafePointer(storage.pointer(to: \.response.headers).unsafelyUnwrapped),
                edits: UnsafePointer(storage.pointer(to: \.responseEdits).unsafelyUnwrapped))
            return unsafe _overrideLifetime(view, copying: self)
        }
    }
}

/// Who calls: the workload that the connection's certificate proved, or nobody we know.
@safe
public struct SourceView: ~Escapable, BitwiseCopyable {
    package let peer: UnsafePointer<PeerRecord>?

    @_lifetime(immortal)
    package init(_ peer: UnsafePointer<PeerRecord>?) { unsafe self.peer = peer }

    /// No identity we trust: plaintext, or a certificate without one.
    public var isExternal: Bool { unsafe peer == nil }
    /// `spiffe://…`; empty if external.
    public var identity: TextView { @_lifetime(copy self) get { text(unsafe peer?.pointee.spiffeID) } }
    public var namespace: TextView { @_lifetime(copy self) get { text(unsafe peer?.pointee.namespace) } }
    public var service: TextView { @_lifetime(copy self) get { text(unsafe peer?.pointee.service) } }

    @_lifetime(copy self)
    private func text(_ bytes: Bytes?) -> TextView {
        unsafe _overrideLifetime(TextView(unowned: bytes ?? .empty), copying: self)
    }
}
