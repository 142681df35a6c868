/// HTTP statuses to look one up in, as one bit each. Written `[502, 503]`, or by class: `["5xx"]`.
public struct StatusSet: Hashable, Sendable, BitwiseCopyable, ExpressibleByArrayLiteral {
    /// Statuses 0…639, of which 100…599 can be set.
    private var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    public init() {}

    /// Numbers outside 100…599 are left out.
    public init(_ statuses: some Sequence<Int>) {
        for status in statuses where 100...599 ~= status { insert(status) }
    }

    public init(arrayLiteral statuses: Int...) { self.init(statuses) }

    /// What a gateway says when something behind it failed.
    public static var gatewayErrors: StatusSet { [502, 503, 504] }

    public var isEmpty: Bool { self == StatusSet() }
    public var statuses: [Int] { (100...599).filter { contains(UInt16($0)) } }

    public func contains(_ status: UInt16) -> Bool {
        guard status < 640 else { return false }
        return word(Int(status >> 6)) >> UInt64(status & 63) & 1 == 1
    }

    private mutating func insert(_ status: Int) {
        let bit: UInt64 = 1 << UInt64(status & 63)
        switch status >> 6 {
        case 1: words.1 |= bit
        case 2: words.2 |= bit
        case 3: words.3 |= bit
        case 4: words.4 |= bit
        case 5: words.5 |= bit
        case 6: words.6 |= bit
        case 7: words.7 |= bit
        case 8: words.8 |= bit
        case 9: words.9 |= bit
        default: words.0 |= bit
        }
    }

    private func word(_ index: Int) -> UInt64 {
        switch index {
        case 1: words.1
        case 2: words.2
        case 3: words.3
        case 4: words.4
        case 5: words.5
        case 6: words.6
        case 7: words.7
        case 8: words.8
        case 9: words.9
        default: words.0
        }
    }

    public static func == (a: StatusSet, b: StatusSet) -> Bool { (0..<10).allSatisfy { a.word($0) == b.word($0) } }
    public func hash(into hasher: inout Hasher) { for index in 0..<10 { hasher.combine(word(index)) } }
}
