import FoundationEssentials

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

    package let id: [UInt8]
    package let secret: [UInt8]
    package let rootFingerprint: [UInt8]

    package init(id: [UInt8], secret: [UInt8], rootFingerprint: [UInt8]) {
        precondition(id.count == JoinToken.idSize && secret.count == JoinToken.secretSize && rootFingerprint.count == 32)
        self.id = id
        self.secret = secret
        self.rootFingerprint = rootFingerprint
    }

    /// A fresh one.
    package init(rootFingerprint: [UInt8]) {
        self.init(
            id: Digest.randomBytes(JoinToken.idSize), secret: Digest.randomBytes(JoinToken.secretSize), rootFingerprint: rootFingerprint)
    }

    /// What lists and messages call it; says nothing about the secret.
    package var name: String { id.hex }

    package var text: String {
        let body = id + secret + rootFingerprint
        let checksum = withUnsafeBytes(of: CRC32C.checksum(body).bigEndian) { Array($0) }
        let base64 = Data(body + checksum).base64EncodedString()
        return JoinToken.prefix + String(base64.filter { $0 != "=" }.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
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
        let text = text.trimmingCharacters
        guard text.hasPrefix(JoinToken.prefix) else {
            if text.hasPrefix("weft"), let dot = text.firstIndex(of: "."), dot < text.index(text.startIndex, offsetBy: 8, limitedBy: text.endIndex) ?? text.endIndex {
                throw .otherVersion(String(text[..<dot]))
            }
            throw .notAToken
        }
        let expected = JoinToken.prefix.utf8.count + (JoinToken.size * 4 + 2) / 3
        guard text.utf8.count == expected else { throw .cutOff(characters: text.utf8.count, expected: expected) }
        var base64 = String(text.dropFirst(JoinToken.prefix.count).map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 })
        while base64.utf8.count % 4 != 0 { base64 += "=" }
        guard let data = Data(base64Encoded: base64), data.count == JoinToken.size else { throw .damaged }
        let bytes = Array(data)
        let body = Array(bytes.prefix(JoinToken.size - 4))
        let checksum = withUnsafeBytes(of: CRC32C.checksum(body).bigEndian) { Array($0) }
        guard Array(bytes.suffix(4)) == checksum else { throw .damaged }
        self.init(id: Array(body[0..<8]), secret: Array(body[8..<32]), rootFingerprint: Array(body[32..<64]))
    }

    private static let size = idSize + secretSize + 32 + 4
}

extension String {
    fileprivate var trimmingCharacters: Substring {
        var text = self[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
