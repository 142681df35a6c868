import Pipeline

/// Text and tables that stand still for as long as a filter lives, so that the data path reads them through plain pointers.
///
/// Filled while the filter is made; the filter keeps it, the chain keeps the filter.
final class PinnedMemory {
    private var blocks: [UnsafeMutableRawPointer] = []

    init() {}

    func text(_ text: String) -> Bytes {
        let table = table(Array(text.utf8))
        return Bytes(table.base, count: table.count)
    }

    func reason(_ text: String) -> Reason { Reason(pinned: self.text(text)) }

    func table<Element: BitwiseCopyable>(_ elements: [Element]) -> PinnedTable<Element> {
        guard !elements.isEmpty else { return PinnedTable() }
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: elements.count)
        memory.initialize(from: elements, count: elements.count)
        blocks.append(UnsafeMutableRawPointer(memory))
        return PinnedTable(base: UnsafePointer(memory), count: elements.count)
    }

    deinit {
        for block in blocks { block.deallocate() }
    }
}

/// Elements in `PinnedMemory`: a pointer and a count.
struct PinnedTable<Element: BitwiseCopyable>: BitwiseCopyable {
    let base: UnsafePointer<Element>?
    let count: Int

    init() {
        base = nil
        count = 0
    }

    fileprivate init(base: UnsafePointer<Element>, count: Int) {
        self.base = base
        self.count = count
    }

    @inline(__always)
    subscript(index: Int) -> Element {
        assert(index >= 0 && index < count)
        return base.unsafelyUnwrapped[index]
    }
}

/// A part of a table: the entries of one owner among those of all.
struct TableRange: BitwiseCopyable {
    var start: Int32
    var count: Int32

    init(start: Int, count: Int) {
        self.start = Int32(start)
        self.count = Int32(count)
    }

    static let none = TableRange(start: 0, count: 0)
    var end: Int32 { start &+ count }
}
