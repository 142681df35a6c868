import Testing

@testable import ControlPlane

@Suite struct CertificateLedgerTests {
    private let now = UnixTime(1_000_000)
    private let old: UInt64 = 1
    private let new: UInt64 = 2

    private func leaf(_ root: UInt64, _ life: Int64 = 86_400) -> CertificateLedger.Leaf { .init(root: root, ends: now + life) }

    @Test("A certificate counts until its holder showed a later root's, not when that was issued")
    func shown() {
        var ledger = CertificateLedger()
        _ = ledger.issued("default", "payment", "p1", serial: "01", leaf(old))
        #expect(ledger.holders(of: old, at: now) == ["default/payment/p1"])
        _ = ledger.issued("default", "payment", "p1", serial: "02", leaf(new))
        #expect(ledger.holders(of: old, at: now) == ["default/payment/p1"], "the answer may have been lost")
        #expect(ledger.showed("default/payment/p1", leaf(new)) != nil)
        #expect(ledger.holders(of: old, at: now).isEmpty && ledger.holders(of: new, at: now).count == 1)
        #expect(ledger.showed("default/payment/p1", leaf(new)) == nil, "nothing new, nothing to store")
    }

    @Test("Without an ACK a sidecar is waited for until its certificate has ended everywhere, also one that is away; not one that left")
    func trust() {
        var ledger = CertificateLedger()
        for name in ["p1", "p2", "p3"] { _ = ledger.issued("default", "payment", name, serial: name, leaf(old)) }
        _ = ledger.trusts("default/payment/p1", new)
        _ = ledger.left("default/payment/p2")
        #expect(ledger.withoutTrust(in: new, at: now) == ["default/payment/p3"])
        #expect(ledger.withoutTrust(in: new, at: now + 86_400) == ["default/payment/p3"], "clocks differ")
        #expect(ledger.withoutTrust(in: new, at: now + 87_001).isEmpty)
        // It was only restarted.
        _ = ledger.showed("default/payment/p2", leaf(old))
        #expect(ledger.withoutTrust(in: new, at: now) == ["default/payment/p2", "default/payment/p3"])
        #expect(ledger.trusts("default/payment/nobody", new) == nil)
    }

    @Test("Who left may still have a certificate of the old root: it counts until it ends")
    func left() {
        var ledger = CertificateLedger()
        _ = ledger.issued("default", "payment", "p1", serial: "01", leaf(old, 600))
        _ = ledger.left("default/payment/p1")
        #expect(ledger.holders(of: old, at: now).count == 1)
        #expect(ledger.holders(of: old, at: now + 1_201).isEmpty)
        #expect(ledger.sweep(at: now + 1_000).isEmpty)
        #expect(ledger.sweep(at: now + 1_201) == [.delete("certificate", "default/payment/p1")])
        #expect(ledger.holders.isEmpty)
    }

    @Test("What is stored is what is read, and nothing else is")
    func stored() throws {
        var ledger = CertificateLedger()
        var tables: [String: [UInt8]] = [:]
        func keep(_ change: Change?) { if let change { tables[change.key] = change.value } }
        keep(ledger.issued("default", "payment", "p1", serial: "01", leaf(old)))
        keep(ledger.issued("default", "payment", "p1", serial: "02", leaf(new)))
        keep(ledger.issued("default", "order", nil, serial: "0a", leaf(old)))
        keep(ledger.trusts("default/payment/p1", new))
        keep(ledger.left("default/payment/p1"))
        let read = try #require(CertificateLedger(tables.map { ($0.key, Tables.Entry(value: $0.value, revision: 1)) }))
        #expect(read.holders == ledger.holders && read.holders.keys.sorted() == ["default/order/~0a", "default/payment/p1"])
        for count in 0..<tables["default/payment/p1"]!.count {
            let cut = Array(tables["default/payment/p1"]!.prefix(count))
            #expect(CertificateLedger([("k", Tables.Entry(value: cut, revision: 1))]) == nil)
        }
    }

    @Test("A revoked identity's sidecars are waited for no longer")
    func forgotten() {
        var ledger = CertificateLedger()
        _ = ledger.issued("default", "payment", "p1", serial: "01", leaf(old))
        _ = ledger.issued("default", "payments", "p1", serial: "02", leaf(old))
        #expect(ledger.forget("default", "payment") == [.delete("certificate", "default/payment/p1")])
        #expect(ledger.withoutTrust(in: new, at: now) == ["default/payments/p1"])
    }
}
