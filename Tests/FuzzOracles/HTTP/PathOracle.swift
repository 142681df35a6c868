import Pipeline

/// Paths and targets: one canonical form, that is its own canonical form and leads where a naive walk of the segments leads.
enum PathOracle {
    static func check(_ input: UnsafeRawBufferPointer) throws {
        let text = Bytes(input)
        let bytes = Array(input)
        try checkAuthority(text, bytes)
        guard bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            // Only visible bytes come this far; anything else must still be refused or escaped.
            if let written = try canonical(bytes) { try expectClean(written) }
            return
        }
        if !bytes.contains(UInt8(ascii: "?")), let written = try canonical(bytes) {
            try expectClean(written)
            try expect(try canonical(written) == written, "canonical twice is another path")
            let walked = walk(bytes)
            try expect(walked != nil, "leads above the root, and is taken")
            try expect(walked == walk(written), "leads elsewhere: \(String(decoding: written, as: UTF8.self))")
        }
        let prefix = CanonicalPath.canonicalPrefix(of: text)
        if prefix > 0 {
            let path = Array(bytes[..<prefix])
            try expect(try canonical(path) == path, "taken for canonical as it stands")
            try expect(prefix == bytes.count || bytes[prefix] == UInt8(ascii: "?"), "the path ends early")
        }
        try checkTarget(bytes)
    }

    private static func checkTarget(_ bytes: [UInt8]) throws {
        guard let first = target(bytes) else { return }
        try expect(first.target.starts(with: first.path), "target and path differ")
        if first.path != [42] {
            try expectClean(first.path)
            let query = first.target.count > first.path.count ? Array(first.target[(first.path.count + 1)...]) : []
            try expect(query == first.query, "target and query differ")
            try expect(bytes.suffix(first.query.count) == first.query[...], "the query was changed")
        }
        let again = target(first.target)
        try expect(again?.target == first.target && again?.path == first.path && again?.query == first.query, "forwarded, it is another target")
    }

    struct Target { var target, path, query: [UInt8] }

    private static func target(_ bytes: [UInt8]) -> Target? {
        HeadRoom.borrow { room in
            bytes.withUnsafeBytes { buffer in
                var head = RequestHead()
                head.method = .options
                guard RequestTarget.read(Bytes(buffer), scratch: room.scratch, into: &head) == nil else { return nil }
                return Target(target: head.target.array, path: head.path.array, query: head.query.array)
            }
        }
    }

    private static func canonical(_ bytes: [UInt8]) throws -> [UInt8]? {
        // Exactly the room that the longest form takes, so that a byte more is caught.
        try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 3 * bytes.count + 4) { room in
            let result = bytes.withUnsafeBytes { CanonicalPath.write(Bytes($0), into: room) }
            guard case .written(let count) = result else { return nil }
            try expect(count > 0 && count <= room.count, "\(count) bytes in room for \(room.count)")
            return Array(room[..<count])
        }
    }

    /// What no server reads in two ways.
    private static func expectClean(_ path: [UInt8]) throws {
        try expect(path.first == 47, "not absolute")
        let text = String(decoding: path, as: UTF8.self)
        try expect(!text.contains("//") && !text.contains("/./") && !text.contains("/../"), "dots or slashes left: \(text)")
        try expect(!text.hasSuffix("/.") && !text.hasSuffix("/..") && !text.contains("/..;"), "dots left: \(text)")
        var index = 0
        while index < path.count {
            switch path[index] {
            case UInt8(ascii: "%"):
                try expect(index + 2 < path.count, "a cut escape")
                guard let high = NaiveHTTP.hex(path[index + 1]), let low = NaiveHTTP.hex(path[index + 2]) else { throw Violation("a broken escape") }
                let byte = UInt8(high << 4 | low)
                try expect(byte != 0 && byte != 47 && byte != 92, "an ambiguous escape: \(text)")
                try expect(!isUnreserved(byte), "an escape of what needs none: \(text)")
                try expect(path[index + 1] < 97 && path[index + 2] < 97, "an escape in lower case: \(text)")
                index += 2
            case let byte:
                try expect(isUnreserved(byte) || "!$&'()*+,;=:@/".utf8.contains(byte), "byte \(byte) in a path")
            }
            index += 1
        }
    }

    private struct Place: Equatable {
        var segments: [[UInt8]]
        /// It names what lies in the last segment.
        var endsInSlash: Bool
    }

    /// Where a server ends up that decodes, then walks; nil if that is above the root.
    private static func walk(_ path: [UInt8]) -> Place? {
        var place = Place(segments: [], endsInSlash: true)
        let parts = path.split(separator: 47, omittingEmptySubsequences: false).dropFirst()
        for part in parts {
            let segment = decode(part)
            place.endsInSlash = segment.isEmpty || segment == [46] || segment == [46, 46]
            if segment == [46, 46] {
                guard place.segments.popLast() != nil else { return nil }
            } else if !place.endsInSlash {
                place.segments.append(segment)
            }
        }
        return place
    }

    private static func decode(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var out: [UInt8] = []
        var index = bytes.startIndex
        while index < bytes.endIndex {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.endIndex, let high = NaiveHTTP.hex(bytes[index + 1]), let low = NaiveHTTP.hex(bytes[index + 2]) {
                out.append(UInt8(high << 4 | low))
                index += 3
            } else {
                out.append(bytes[index])
                index += 1
            }
        }
        return out
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122, 45, 46, 95, 126: true
        default: false
        }
    }

    /// What is taken for a host is one by RFC 3986 §3.2.2, with nothing in it that ends or splits an authority.
    private static func checkAuthority(_ text: Bytes, _ bytes: [UInt8]) throws {
        guard Authority.isValid(text) else { return }
        var host = bytes[...]
        if let colon = bytes.lastIndex(of: 58), bytes[(colon + 1)...].allSatisfy({ (48...57).contains($0) }) {
            if bytes.first != 91 || bytes[..<colon].last == 93 {
                host = bytes[..<colon]
                guard let port = Int(String(decoding: bytes[(colon + 1)...], as: UTF8.self)) else { throw Violation("a port that is none") }
                try expect(port <= 65_535, "port \(port)")
            }
        }
        try expect(!host.isEmpty, "no host")
        if host.first == 91 {
            try expect(host.last == 93, "an open bracket")
            try expect(host.dropFirst().dropLast().allSatisfy { NaiveHTTP.hex($0) != nil || $0 == 58 || $0 == 46 }, "no address")
        } else {
            try expect(host.allSatisfy(isUnreserved), "no name: \(text.string)")
        }
        try expect(Authority.areSame(text, text, defaultPort: ":80"), "not the same as itself")
    }
}
