/// A fixed set of words to look a peer's bytes up in: one hash, about one comparison, no allocation, no reference counting.
///
/// Compiled once when a config is read. Words are compared byte by byte, case and all.
@safe
public struct WordSet: @unchecked Sendable {
    /// Open addressing, at most half full, so that a miss ends soon. An empty slot has `count` -1.
    private struct Slot: BitwiseCopyable {
        var hash: UInt32
        var count: Int32
        var offset: Int
    }

    /// Keeps the table alive; never touched by a lookup.
    @safe
    private final class Storage {
        let slots: UnsafeMutablePointer<Slot>
        let slotCount: Int
        let text: UnsafeMutablePointer<UInt8>

        init(slotCount: Int, textCount: Int) {
            self.slotCount = slotCount
            unsafe slots = .allocate(capacity: slotCount)
            unsafe slots.initialize(repeating: Slot(hash: 0, count: -1, offset: 0), count: slotCount)
            unsafe text = .allocate(capacity: max(1, textCount))
        }

        deinit {
            unsafe slots.deallocate()
            unsafe text.deallocate()
        }
    }

    private let storage: Storage
    private let slots: UnsafePointer<Slot>
    private let text: UnsafePointer<UInt8>
    private let mask: UInt32
    private let longest: Int
    /// In the order they were given, without repetitions.
    public let words: [String]

    public init(_ words: [String]) {
        var known: Set<[UInt8]> = []
        let unique = words.filter { known.insert(Array($0.utf8)).inserted }
        self.words = unique
        var slotCount = 2
        while slotCount < unique.count * 2 { slotCount *= 2 }
        let storage = Storage(slotCount: slotCount, textCount: unique.reduce(0) { $0 + $1.utf8.count })
        var offset = 0
        for word in unique {
            let letters = Array(word.utf8)
            unsafe (storage.text + offset).initialize(from: letters, count: letters.count)
            let hash = unsafe Self.hash(UnsafePointer(storage.text + offset), letters.count)
            var index = Int(hash) & (slotCount - 1)
            while unsafe storage.slots[index].count >= 0 { index = (index + 1) & (slotCount - 1) }
            unsafe storage.slots[index] = Slot(hash: hash, count: Int32(letters.count), offset: offset)
            offset += letters.count
        }
        self.storage = storage
        unsafe slots = UnsafePointer(storage.slots)
        unsafe text = UnsafePointer(storage.text)
        mask = UInt32(slotCount - 1)
        longest = unique.map(\.utf8.count).max() ?? 0
    }

    public var count: Int { words.count }
    public var isEmpty: Bool { words.isEmpty }

    public func contains(_ word: Bytes) -> Bool {
        guard word.count <= longest, let base = unsafe word.base else { return word.isEmpty && containsEmpty }
        return withExtendedLifetime(storage) {
            let hash = unsafe Self.hash(base, word.count)
            var index = hash & mask
            while true {
                let slot = unsafe slots[Int(index)]
                if slot.count < 0 { return false }
                if slot.hash == hash, Int(slot.count) == word.count, unsafe Self.equal(text + slot.offset, base, word.count) { return true }
                index = (index &+ 1) & mask
            }
        }
    }

    public func contains(_ word: String) -> Bool {
        var word = word
        return word.withUTF8 { unsafe contains(Bytes($0.baseAddress, count: $0.count)) }
    }

    private var containsEmpty: Bool { words.contains("") }

    /// FNV-1a. Members come from config alone, so nobody can choose them to collide.
    @inline(__always)
    private static func hash(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt32 {
        var hash: UInt32 = 2_166_136_261
        var index = 0
        while index < count {
            hash = unsafe (hash ^ UInt32(bytes[index])) &* 16_777_619
            index &+= 1
        }
        return hash ^ hash >> 15
    }

    @inline(__always)
    private static func equal(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        var index = 0
        while index < count {
            if unsafe a[index] != b[index] { return false }
            index &+= 1
        }
        return true
    }
}

extension WordSet: Equatable, ExpressibleByArrayLiteral {
    public init(arrayLiteral words: String...) { self.init(words) }
    public static func == (a: WordSet, b: WordSet) -> Bool { Set(a.words) == Set(b.words) }
}
