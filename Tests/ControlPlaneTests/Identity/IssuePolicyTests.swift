import ControlPlane
import Testing

struct IssuePolicyTests {
    private let policy = IssuePolicy(trustDomain: "shop")
    private let now = UnixTime(1000)
    private func identity(_ service: String, _ trustDomain: String = "shop") -> WorkloadIdentity {
        WorkloadIdentity(trustDomain: trustDomain, namespace: "default", service: service)!
    }

    private func refusal(_ decision: IssuePolicy.Decision) -> String {
        if case .refuse(let reason) = decision { reason } else { "issued" }
    }

    @Test("A token is good for the service it is bound to, and for no other")
    func token() {
        let caller = IssuePolicy.Caller.token(namespace: "default", service: "payment")
        #expect(policy.decide(caller, wants: "default", "payment", isRevoked: false, at: now) == .issue(identity("payment"), life: 86_400))
        #expect(
            refusal(policy.decide(caller, wants: "default", "order", isRevoked: false, at: now))
                == "this token is for default/payment, not for default/order")
        #expect(refusal(policy.decide(caller, wants: "other", "payment", isRevoked: false, at: now)).contains("not for other/payment"))
        #expect(refusal(policy.decide(caller, wants: "default", "payment", isRevoked: true, at: now)).contains("is revoked"))
    }

    @Test("A certificate renews itself only, while it lives, and only of our trust domain")
    func renewal() {
        func decide(_ own: WorkloadIdentity, expires: Int64 = 2000, life: Int64? = nil) -> IssuePolicy.Decision {
            policy.decide(.certificate(own, expires: UnixTime(expires)), wants: "default", "payment", life: life, isRevoked: false, at: now)
        }
        #expect(decide(identity("payment")) == .issue(identity("payment"), life: 86_400))
        #expect(decide(identity("payment"), life: 3600) == .issue(identity("payment"), life: 3600))
        #expect(decide(identity("payment"), life: 1) == .issue(identity("payment"), life: 300))
        #expect(decide(identity("payment"), life: .max) == .issue(identity("payment"), life: 86_400))
        #expect(refusal(decide(identity("order"))).contains("may renew for itself only"))
        #expect(refusal(decide(identity("payment", "elsewhere"))).contains("may renew for itself only"))
        #expect(refusal(decide(identity("payment"), expires: 1000)).contains("has ended"))
    }

    @Test("Nobody joins as the control plane, or under a name that cannot stand in an identity")
    func names() {
        let system = IssuePolicy.Caller.token(namespace: "weft-system", service: "control-plane")
        #expect(refusal(policy.decide(system, wants: "weft-system", "control-plane", isRevoked: false, at: now)).contains("nobody joins"))
        for bad in ["", "..", "a/b", "a,DNS:b", "ä", "a\0"] {
            let caller = IssuePolicy.Caller.token(namespace: "default", service: bad)
            #expect(refusal(policy.decide(caller, wants: "default", bad, isRevoked: false, at: now)).contains("cannot stand"))
        }
    }

    @Test("An identity is read back from its URI, and anything else is nobody")
    func uris() {
        #expect(WorkloadIdentity(uri: identity("payment").uri) == identity("payment"))
        for bad in [
            "", "spiffe://", "spiffe://shop", "spiffe://shop/ns/a/sa/", "spiffe://shop/ns/a/sa/b/", "spiffe://shop/ns/a/sa/b/c",
            "spiffe://Shop/ns/a/sa/b", "SPIFFE://shop/ns/a/sa/b", "spiffe://shop/ns/../sa/b", "spiffe://shop/ns/a/sa/b?x",
            "spiffe://shop/ns/a/sa/b#x", "spiffe://shop:1/ns/a/sa/b", "spiffe://u@shop/ns/a/sa/b", "spiffe://shop/ns/a/sa/%62",
            "spiffe://shop/ns//sa/b", "spiffe://shop/sa/a/ns/b", " spiffe://shop/ns/a/sa/b",
        ] { #expect(WorkloadIdentity(uri: bad) == nil, "\(bad)") }
    }
}
