/// What lets a sidecar join as one service, as text to hand over: `weft1.` and base64url of
///
///     id 8 bytes · secret 24 bytes · SHA-256 of the root 32 bytes · checksum 4 bytes
///
/// The root's digest lets the sidecar check whom it talks to before it sends anything. The checksum only finds a token cut
/// off in copying. The control plane keeps the id and the secret's SHA-256, never the token.
package struct JoinToken: Equatable, Sendable {
    package static let prefix = "weft1."
    package static let idSize = 8
    /// 192 bits.
    package static let secretSize = 24
    private static let rootSize = 32
    private static let size = idSize + secretSize + rootSize + 4

    package let id: [UInt8]
    package let secret: [UInt8]
    package let rootFingerprint: [UInt8]

    package init(id: [UInt8], secret: [UInt8], rootFingerprint: [UInt8]) {
        precondition(id.count == JoinToken.idSize && secret.count == JoinToken.secretSize && rootFingerprint.count == JoinToken.rootSize)
        self.id = id
        self.secret = secret
        self.rootFingerprint = rootFingerprint
    }

    package var text: String {
        let body = id + secret + rootFingerprint
        let checksum = CRC32C.checksum(body)
        return JoinToken.prefix + Base64URL.encode(body + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: checksum >> $0) })
    }

    /// Why a text is no token; the sentence is for whoever pasted it.
    package enum Problem: Error, Equatable, Sendable, CustomStringConvertible {
        case notAToken, otherVersion(String), cutOff(characters: Int, expected: Int), damaged

        package var description: String {
            switch self {
            case .notAToken: "this is not a join token: one starts with \(JoinToken.prefix)"
            case .otherVersion(let version): "this join token is of version \(version), this weft reads weft1: use the same weft on both sides"
            case .cutOff(let count, let expected): "this join token has \(count) characters instead of \(expected): was it cut off in copying?"
            case .damaged: "this join token is damaged: copy it again"
            }
        }
    }

    /// White space around it is forgiven.
    package init(parsing text: String) throws(Problem) {
        var text = text[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        guard text.hasPrefix(JoinToken.prefix) else {
            if text.hasPrefix("weft"), let dot = text.prefix(8).firstIndex(of: ".") { throw .otherVersion(String(text[..<dot])) }
            throw .notAToken
        }
        let expected = JoinToken.prefix.utf8.count + (JoinToken.size * 4 + 2) / 3
        guard text.utf8.count == expected else { throw .cutOff(characters: text.utf8.count, expected: expected) }
        guard let bytes = Base64URL.decode(text.utf8.dropFirst(JoinToken.prefix.utf8.count)), bytes.count == JoinToken.size else {
            throw .damaged
        }
        let body = Array(bytes.prefix(JoinToken.size - 4))
        let checksum = bytes.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard checksum == CRC32C.checksum(body) else { throw .damaged }
        self.init(id: Array(body[0..<8]), secret: Array(body[8..<32]), rootFingerprint: Array(body[32..<64]))
    }
}

/// base64url without padding (RFC 4648 §5).
private enum Base64URL {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let word = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for index in 0...group.count { out.append(alphabet[Int(word >> UInt32(18 - 6 * index)) & 63]) }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Nil for another character, a length that no bytes have, or bits left over that are not zero.
    static func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var out: [UInt8] = []
        var word: UInt32 = 0
        var bits: UInt32 = 0
        for character in text {
            guard let value = alphabet.firstIndex(of: character) else { return nil }
            word = word << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                out.append(UInt8(truncatingIfNeeded: word >> bits))
                word &= 1 << bits - 1
            }
        }
        return bits < 6 && word == 0 ? out : nil
    }
}
