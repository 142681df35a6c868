/// A number that is small by its nature (a position in a buffer, an index of a line), kept in four bytes where thousands of idle
/// connections keep it.
@propertyWrapper
@frozen
@usableFromInline
package struct Packed: BitwiseCopyable, Equatable, Sendable {
    @usableFromInline var stored: Int32

    @inlinable
    package init(wrappedValue: Int) { stored = Int32(truncatingIfNeeded: wrappedValue) }

    @inlinable
    package var wrappedValue: Int {
        get { Int(stored) }
        set {
            assert(newValue == Int(Int32(truncatingIfNeeded: newValue)))
            stored = Int32(truncatingIfNeeded: newValue)
        }
    }
}
