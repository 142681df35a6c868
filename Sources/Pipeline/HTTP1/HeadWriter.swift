/// Writes a head into memory of the caller's: start line, lines copied from a received head, lines of our own, framing.
///
///     var writer = HeadWriter(into: room)
///     writer.requestLine(head)
///     writer.copyFields(head.headers, skipping: head.dropped)
///     writer.field(traceparent, value)
///     guard let count = writer.finish(.chunked) else { … writer.needed … }
///
/// Writing past the end is counted, not done: `finish` answers nil and `needed` says how much room it takes.
@safe
package struct HeadWriter {
    private let memory: UnsafeMutableRawBufferPointer
    /// Bytes written, or wanted if that is more than there is room for.
    package private(set) var needed = 0
    /// Lines left out because a byte in them would have ended the line: our own caller's fault, never a peer's.
    package private(set) var refusedFields = 0

    package init(into memory: UnsafeMutableRawBufferPointer) { unsafe self.memory = memory }

    // MARK: Start lines

    /// `METHOD target HTTP/1.1` and Host, which is always written anew: from the authority that was matched.
    @inline(__always)
    package mutating func requestLine(_ head: borrowing RequestHead) {
        unsafe requestLine(head.methodText, head.target, authority: head.authority)
    }

    package mutating func requestLine(_ method: Bytes, _ target: Bytes, authority: Bytes) {
        append(method)
        append(0x20)
        append(target)
        append(" HTTP/1.1\r\nhost: ")
        append(authority)
        append("\r\n")
    }

    /// `HTTP/1.1 status reason`; an empty reason is replaced by the registered one.
    @inline(__always)
    package mutating func statusLine(_ status: UInt16, reason: Bytes = .empty) {
        append("HTTP/1.1 ")
        append(UInt8(truncatingIfNeeded: 0x30 &+ status / 100 % 10))
        append(UInt8(truncatingIfNeeded: 0x30 &+ status / 10 % 10))
        append(UInt8(truncatingIfNeeded: 0x30 &+ status % 10))
        append(0x20)
        append(reason.isEmpty ? Bytes(ReasonPhrase.of(status)) : reason)
        append("\r\n")
    }

    // MARK: Header lines

    /// Copies the lines whose bit is not set. Neighbours that stay are copied in one go.
    @inline(__always)
    package mutating func copyFields(_ table: HeaderTable, skipping dropped: FieldMask) {
        let count = unsafe Int(table.count)
        guard unsafe table.isWireFormat, let base = unsafe table.base, let fields = unsafe table.fields else {
            return unsafe copyOneByOne(table, skipping: dropped)
        }
        var index = 0
        while index < count {
            if dropped.contains(index) {
                index &+= 1
                continue
            }
            let start = unsafe Int(fields[index].nameOffset)
            repeat { index &+= 1 } while index < count && !dropped.contains(index)
            // The next line begins where this one ends; the last one ends behind its CRLF.
            var end: Int
            if index < count {
                end = unsafe Int(fields[index].nameOffset)
            } else {
                end = unsafe Int(fields[index &- 1].valueOffset) &+ Int(fields[index &- 1].valueCount)
                while unsafe base[end] != 0x0A { end &+= 1 }
                end &+= 1
            }
            unsafe append(Bytes(base + start, count: end &- start))
        }
    }

    /// One line. Returns false, and writes nothing, if the value holds a byte that could end it.
    @inline(__always) @discardableResult
    package mutating func field(_ name: HeaderName, _ value: Bytes) -> Bool { field(name.bytes, value) }

    @discardableResult
    package mutating func field(_ name: Bytes, _ value: Bytes) -> Bool {
        guard name.isToken, Self.isClean(value) else {
            refusedFields &+= 1
            return false
        }
        append(name)
        append(": ")
        append(value)
        append("\r\n")
        return true
    }

    /// Whole lines with their CRLF that the program rendered before, such as `date: …` once per second.
    @inline(__always)
    package mutating func lines(_ rendered: Bytes) { append(rendered) }

    /// What ends the head: framing, the connection's option, the empty line. The bytes written; nil if they did not fit.
    @inline(__always)
    package mutating func finish(_ framing: BodyFraming, connection: ConnectionOption = .none) -> Int? {
        switch framing {
        case .none, .untilClose: break
        case .chunked: append("transfer-encoding: chunked\r\n")
        case .length(let length):
            append("content-length: ")
            appendDecimal(UInt64(max(0, length)))
            append("\r\n")
        }
        switch connection {
        case .none: break
        case .close: append("connection: close\r\n")
        case .keepAlive: append("connection: keep-alive\r\n")
        }
        append("\r\n")
        return unsafe needed <= memory.count ? needed : nil
    }

    // MARK: Bytes

    /// Bytes behind a head, such as a small body; counted like the rest.
    @inline(__always)
    package mutating func append(_ bytes: Bytes) {
        let start = needed
        needed &+= bytes.count
        guard unsafe needed <= memory.count, let source = unsafe bytes.base, let target = unsafe memory.baseAddress
        else { return }
        unsafe (target + start).copyMemory(from: source, byteCount: bytes.count)
    }

    @inline(__always)
    private mutating func append(_ text: StaticString) { append(Bytes(text)) }

    @inline(__always)
    private mutating func append(_ byte: UInt8) {
        if unsafe needed < memory.count { unsafe memory[needed] = byte }
        needed &+= 1
    }

    package mutating func field(_ name: HeaderName, number: UInt64, unit: StaticString = "") {
        append(name.bytes)
        append(": ")
        appendDecimal(number)
        append(unit)
        append("\r\n")
    }

    private mutating func appendDecimal(_ number: UInt64) {
        var count = 1
        var rest = number
        while rest > 9 {
            count &+= 1
            rest /= 10
        }
        guard let room = unsafe reserve(count) else { return }
        rest = number
        while count > 0 {
            count &-= 1
            unsafe room.storeBytes(of: UInt8(truncatingIfNeeded: 0x30 &+ rest % 10), toByteOffset: count, as: UInt8.self)
            rest /= 10
        }
    }

    /// Room for `count` bytes that the caller fills; nil if they do not fit.
    @inline(__always)
    package mutating func reserve(_ count: Int) -> UnsafeMutableRawPointer? {
        let start = needed
        needed &+= count
        guard unsafe needed <= memory.count, let base = unsafe memory.baseAddress else { return nil }
        return unsafe base + start
    }

    /// The lowest `digits` hexadecimal digits of `number`, in lower case.
    package mutating func appendHexadecimal(_ number: UInt64, digits: Int) {
        let start = needed
        needed &+= digits
        guard unsafe needed <= memory.count else { return }
        var index = 0
        while index < digits {
            let digit = UInt8(truncatingIfNeeded: number &>> UInt64(truncatingIfNeeded: 4 &* (digits &- 1 &- index)) & 0x0F)
            unsafe memory[start &+ index] = digit < 10 ? 0x30 &+ digit : 0x57 &+ digit
            index &+= 1
        }
    }

    private mutating func copyOneByOne(_ table: HeaderTable, skipping dropped: FieldMask) {
        var index = 0
        while unsafe index < Int(table.count) {
            if !dropped.contains(index) { unsafe field(table.name(index), table.value(index)) }
            index &+= 1
        }
    }

    private static func isClean(_ value: Bytes) -> Bool {
        var position = 0
        while true {
            position = value.firstControl(from: position, to: value.count)
            if position == value.count { return true }
            guard value[position] == 0x09 else { return false }
            position &+= 1
        }
    }
}
