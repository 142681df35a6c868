import ControlPlane
import ControlPlaneTesting
import Pipeline
import Testing

struct JoinTokenTests {
    private let now = UnixTime(1_800_000_000)
    private let fingerprint = [UInt8](repeating: 7, count: 32)

    @Test("A token's text gives the token back, white space around it forgiven")
    func text() throws {
        for _ in 0..<50 {
            let token = JoinToken(rootFingerprint: fingerprint)
            #expect(try JoinToken(parsing: "  \(token.text)\n") == token)
            #expect(token.text.utf8.allSatisfy { $0 > 0x20 && $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "=") })
        }
    }

    @Test("What is no token is refused with what is wrong with it")
    func problems() throws {
        let text = JoinToken(rootFingerprint: fingerprint).text
        #expect(throws: JoinToken.Problem.notAToken) { try JoinToken(parsing: "hello") }
        #expect(throws: JoinToken.Problem.notAToken) { try JoinToken(parsing: "") }
        #expect(throws: JoinToken.Problem.otherVersion("weft2")) { try JoinToken(parsing: "weft2" + text.dropFirst(5)) }
        #expect(throws: JoinToken.Problem.cutOff(characters: text.count - 1, expected: text.count)) {
            try JoinToken(parsing: String(text.dropLast()))
        }
        for index in text.indices.dropFirst(6) {
            var bad = text
            bad.replaceSubrange(index...index, with: text[index] == "A" ? "B" : "A")
            // The last character has two bits that mean nothing.
            if let parsed = try? JoinToken(parsing: bad) { #expect(parsed.text == text) }
        }
    }

    @Test("A hundred redeem a one-time token at once: one gets in, and the use is on disk before its certificate leaves")
    func hundred() throws {
        let files = FaultyFiles(seed: 1)
        let store = try Store(files)
        var ledger = JoinTokenLedger()
        let token = JoinToken(rootFingerprint: fingerprint)
        guard case .minted(let change) = ledger.mint(token, namespace: "default", service: "payment", at: now) else {
            Issue.record("not minted")
            return
        }
        try store.append([change])
        try store.commit()
        // One turn of the loop takes all hundred; their answers wait for its commit.
        var granted = 0
        for _ in 0..<100 {
            switch ledger.redeem(token, at: now) {
            case .granted(let namespace, let service, let change):
                #expect((namespace, service) == ("default", "payment"))
                try store.append([try #require(change)])
                granted += 1
            case .refused(let reason):
                #expect(reason.contains("is used up"))
            }
        }
        #expect(granted == 1)
        try store.commit()
        // Killed between the commit and the reply: the token is dead.
        let successor = try Store(files.crash())
        var restored = try #require(JoinTokenLedger(successor.entries(JoinTokenLedger.table)))
        let second = restored.redeem(token, at: now)
        #expect(second == .refused("join token \(token.name) is used up"))
    }

    @Test("Uses, expiry and revocation end a token, each with its own sentence, and survive a restart")
    func ends() throws {
        let store = try Store(FaultyFiles(seed: 1))
        var ledger = JoinTokenLedger()
        func mint(_ uses: UInt32?, life: Int64 = 100) throws -> JoinToken {
            let token = JoinToken(rootFingerprint: fingerprint)
            guard case .minted(let change) = ledger.mint(token, namespace: "n", service: "s", uses: uses, life: life, at: now) else {
                throw IdentityError.state("not minted")
            }
            try store.append([change])
            return token
        }
        func redeem(_ token: JoinToken, at time: UnixTime) throws -> String {
            switch ledger.redeem(token, at: time) {
            case .granted(_, _, let change):
                if let change { try store.append([change]) }
                return "granted"
            case .refused(let reason): return reason
            }
        }
        let three = try mint(3)
        let endless = try mint(nil)
        for _ in 0..<3 { #expect(try redeem(three, at: now) == "granted") }
        #expect(try redeem(three, at: now).contains("used up"))
        for _ in 0..<20 { #expect(try redeem(endless, at: now + 99) == "granted") }
        #expect(try redeem(endless, at: now + 100).contains("has expired"))

        let revoked = try mint(1)
        let revocation = ledger.revoke(revoked.name)
        try store.append([try #require(revocation)])
        #expect(try redeem(revoked, at: now).contains("was revoked"))
        let none = ledger.revoke("no such")
        #expect(none == nil)

        let guess = JoinToken(id: three.id, secret: [UInt8](repeating: 0, count: 24), rootFingerprint: fingerprint)
        #expect(try redeem(guess, at: now) == "unknown join token")
        #expect(try redeem(JoinToken(rootFingerprint: fingerprint), at: now) == "unknown join token")

        #expect(JoinTokenLedger(store.entries(JoinTokenLedger.table))?.records == ledger.records)
        let forgotten = now + 100 + JoinTokenLedger.memory
        let early = ledger.sweep(at: forgotten + -1)
        #expect(early.isEmpty)
        let swept = ledger.sweep(at: forgotten)
        #expect(swept.count == 3)
        #expect(ledger.records.isEmpty)
    }

    @Test("Neither the ledger nor the disk holds the secret")
    func noSecret() throws {
        let files = FaultyFiles(seed: 1)
        let store = try Store(files)
        var ledger = JoinTokenLedger()
        let token = JoinToken(rootFingerprint: fingerprint)
        guard case .minted(let change) = ledger.mint(token, namespace: "n", service: "s", at: now) else { return }
        try store.append([change])
        try store.commit()
        let log = try #require(files.content["log-1"])
        #expect(!log.indices.contains { log[$0...].starts(with: token.secret) })
        #expect(log.indices.contains { log[$0...].starts(with: Digest.sha256(token.secret)) })
    }
}
