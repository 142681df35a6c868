/// One name and value of a table.
package struct HPACKEntry: BitwiseCopyable {
    package let name: Bytes
    package let value: Bytes
}

/// The static table (RFC 7541 Appendix A), by index from 1 on, and the way back from a name to its first index.
@safe
package struct StaticTable: BitwiseCopyable, @unchecked Sendable {
    package static let count = 61

    /// Entries of one name stand beside each other but for none; so a name's first index finds them all.
    private static let fields: [(StaticString, StaticString)] = [
        (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
        (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"), (":status", "304"),
        (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""), ("accept-encoding", "gzip, deflate"),
        ("accept-language", ""), ("accept-ranges", ""), ("accept", ""), ("access-control-allow-origin", ""), ("age", ""),
        ("allow", ""), ("authorization", ""), ("cache-control", ""), ("content-disposition", ""), ("content-encoding", ""),
        ("content-language", ""), ("content-length", ""), ("content-location", ""), ("content-range", ""), ("content-type", ""),
        ("cookie", ""), ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""),
        ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""),
        ("link", ""), ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""),
        ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
        ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
        ("www-authenticate", ""),
    ]
    /// A power of two; more slots than names, so that a search ends at an empty one soon.
    private static let slotCount = 256

    private let entries: UnsafePointer<HPACKEntry>
    /// First indices by hash of the name, 0 where there is none; open addressing.
    private let slots: UnsafePointer<UInt8>

    package static let shared = StaticTable()

    /// The caller promises 1 ≤ index ≤ ``count``.
    @inline(__always)
    package func entry(_ index: Int) -> HPACKEntry {
        assert(index >= 1 && index <= Self.count)
        return unsafe entries[index &- 1]
    }

    /// The first index with this name, 0 if there is none. `hash` as ``FieldHash`` makes it.
    @inline(__always)
    package func firstIndex(of name: Bytes, hash: UInt32) -> Int {
        var slot = Int(hash) & (Self.slotCount &- 1)
        while true {
            let index = unsafe Int(slots[slot])
            if index == 0 || entry(index).name.isSame(as: name) { return index }
            slot = (slot &+ 1) & (Self.slotCount &- 1)
        }
    }

    /// The index with this name and value, 0 if there is none; `first` is the first with that name.
    @inline(__always)
    package func index(of name: Bytes, value: Bytes, from first: Int) -> Int {
        var index = first
        while index <= Self.count {
            let entry = entry(index)
            if entry.value.isSame(as: value) { return index }
            index &+= 1
            if index > Self.count || !self.entry(index).name.isSame(as: name) { return 0 }
        }
        return 0
    }

    private init() {
        let entries = UnsafeMutablePointer<HPACKEntry>.allocate(capacity: Self.count)
        let slots = UnsafeMutablePointer<UInt8>.allocate(capacity: Self.slotCount)
        unsafe slots.initialize(repeating: 0, count: Self.slotCount)
        var previous = Bytes.empty
        for (index, field) in Self.fields.enumerated() {
            let name = Bytes(field.0)
            unsafe (entries + index).initialize(to: HPACKEntry(name: name, value: Bytes(field.1)))
            if !name.isSame(as: previous) {
                var slot = Int(FieldHash.of(name)) & (Self.slotCount - 1)
                while unsafe slots[slot] != 0 { slot = (slot + 1) & (Self.slotCount - 1) }
                unsafe slots[slot] = UInt8(index + 1)
            }
            previous = name
        }
        unsafe self.entries = UnsafePointer(entries)
        unsafe self.slots = UnsafePointer(slots)
    }
}

/// Hashes for the encoder's look-ups. Collisions cost compression, never correctness: what a slot names is compared.
enum FieldHash {
    @inline(__always)
    static func of(_ bytes: Bytes, seed: UInt32 = 0) -> UInt32 {
        var hash = UInt64(seed) ^ UInt64(truncatingIfNeeded: bytes.count)
        var position = 0
        while position &+ 8 <= bytes.count {
            hash = (hash ^ bytes.word(at: position)) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash &>> 32
            position &+= 8
        }
        while position < bytes.count {
            hash = (hash ^ UInt64(bytes[position])) &* 0x9E37_79B9_7F4A_7C15
            position &+= 1
        }
        return UInt32(truncatingIfNeeded: hash ^ hash &>> 29 ^ hash &>> 47)
    }
}

extension Bytes {
    /// Whether both are the same bytes.
    @inline(__always)
    package func isSame(as other: Bytes) -> Bool {
        guard count == other.count else { return false }
        var position = 0
        while position &+ 8 <= count {
            if word(at: position) != other.word(at: position) { return false }
            position &+= 8
        }
        while position < count {
            if self[position] != other[position] { return false }
            position &+= 1
        }
        return true
    }
}
