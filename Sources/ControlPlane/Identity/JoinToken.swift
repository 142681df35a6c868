package import Pipeline

extension JoinToken {
    /// A fresh one.
    package init(rootFingerprint: [UInt8]) {
        self.init(
            id: Digest.randomBytes(JoinToken.idSize), secret: Digest.randomBytes(JoinToken.secretSize), rootFingerprint: rootFingerprint)
    }

    /// What lists and messages call it; says nothing about the secret.
    package var name: String { id.hex }
}
