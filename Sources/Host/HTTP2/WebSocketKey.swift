internal import COpenSSL
internal import Pipeline

/// What HTTP/1 asks a WebSocket's server for, so that no other one is taken for it by mistake (RFC 6455 §1.3). A caller that came by
/// HTTP/2 has none of it (RFC 8441 §5.1): the hop makes it up, and judges the answer.
enum WebSocketKey {
    static let accept: HeaderName = "sec-websocket-accept"
    /// Of 16 bytes, and of SHA-1's 20, in base64.
    private static let keyCount = 24, answerCount = 28

    static func write(for x: UnsafeMutablePointer<ExchangeStorage>, to writer: inout HeadWriter) {
        writer.append(Bytes("sec-websocket-key: "))
        withKey(of: x) { writer.append($0) }
        writer.append(Bytes("\r\n"))
    }

    /// Whether the 101 that came is one to this key (RFC 6455 §4.1).
    static func isAnswered(_ x: UnsafeMutablePointer<ExchangeStorage>) -> Bool {
        let headers = x.pointee.response.headers
        let line = headers.firstIndex(of: accept)
        guard line >= 0 else { return false }
        let magic = Bytes("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        return withKey(of: x) { key in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: keyCount + magic.count + 20 + answerCount + 1) { space in
                guard let text = space.baseAddress, let keyBase = key.base, let magicBase = magic.base else { return false }
                text.update(from: keyBase, count: keyCount)
                (text + keyCount).update(from: magicBase, count: magic.count)
                let digest = text + keyCount + magic.count, answer = digest + 20
                guard EVP_Digest(text, keyCount + magic.count, digest, nil, EVP_sha1(), nil) == 1 else { return false }
                EVP_EncodeBlock(answer, digest, 20)
                return headers.value(line).isSame(as: Bytes(answer, count: answerCount))
            }
        }
    }

    /// Drawn with the exchange. It need not be secret, only another one each time.
    private static func withKey<Result>(of x: UnsafeMutablePointer<ExchangeStorage>, _ body: (Bytes) -> Result) -> Result {
        var words = x.pointee.requestID
        return withUnsafeBytes(of: &words) { words in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: keyCount + 1) { space in
                guard let text = space.baseAddress else { return body(.empty) }
                EVP_EncodeBlock(text, words.baseAddress?.assumingMemoryBound(to: UInt8.self), 16)
                return body(Bytes(text, count: keyCount))
            }
        }
    }
}
