/// Finds what somebody probably meant.
package enum Spelling {
    /// The candidate nearest to `word`, nil if none is near enough to be offered.
    ///
    /// Case does not count. `taken` candidates (keys that already stand there) are offered only if nothing else is near.
    package static func suggestion(for word: String, among candidates: [String], taken: Set<String> = []) -> String? {
        guard word.utf8.count <= Self.lengthMax else { return nil }
        let wanted = Array(word.lowercased().utf8)
        var best: (rank: [Int], candidate: String)?
        for candidate in candidates where candidate.utf8.count <= Self.lengthMax && candidate != word {
            let letters = Array(candidate.lowercased().utf8)
            let distance = distance(wanted, letters)
            guard distance <= reach(letters.count) else { continue }
            let sameStart = wanted.first == letters.first ? 0 : 1
            let rank = [
                taken.contains(candidate) ? 1 : 0, distance, sameStart, abs(wanted.count - letters.count),
            ]
            if let known = best, !rank.lexicographicallyPrecedes(known.rank) { continue }
            best = (rank, candidate)
        }
        return best?.candidate
    }

    /// Bytes; longer words are not compared, the table is quadratic.
    private static let lengthMax = 64

    /// How many slips we forgive in a word of that length.
    private static func reach(_ length: Int) -> Int {
        switch length {
        case ...3: 1
        case ...6: 2
        default: 3
        }
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn one into the other
    /// (optimal string alignment; Damerau 1964).
    package static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var beforeLast = [Int](repeating: 0, count: b.count + 1)
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1] + [Int](repeating: 0, count: b.count)
            for j in b.indices {
                let cost = a[i] == b[j] ? 0 : 1
                row[j + 1] = min(last[j + 1] + 1, row[j] + 1, last[j] + cost)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { row[j + 1] = min(row[j + 1], beforeLast[j - 1] + 1) }
            }
            (beforeLast, last) = (last, row)
        }
        return last[b.count]
    }
}
