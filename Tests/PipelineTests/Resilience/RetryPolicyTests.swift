import Pipeline
import Testing

private let failures: [RetryPolicy.Failure] = [
    .connect, .closedUnsent, .peerUnsent, .breaker, .noEndpoint, .resetBeforeHead, .resetAfterHead, .timeout,
    .status(503), .status(500), .status(200), .status(99), .status(999), .denied,
]
private let methods: [Method] = [.get, .head, .post, .put, .delete, .connect, .options, .trace, .patch, .other]

struct RetryPolicyTests {
    @Test("Failure kind × method, as ARCHITECTURE §9 says", arguments: [
        (RetryPolicy.Failure.connect, "any"), (.closedUnsent, "any"), (.peerUnsent, "any"), (.breaker, "any"), (.noEndpoint, "any"),
        (.resetBeforeHead, "idempotent"), (.timeout, "idempotent"), (.status(503), "idempotent"),
        (.status(500), "never"), (.resetAfterHead, "never"), (.denied, "never"),
    ])
    func table(failure: RetryPolicy.Failure, who: String) {
        for method in methods {
            let expected = who == "any" || who == "idempotent" && method.isIdempotent
            #expect((RetryPolicy().decide(failure, method: method, retries: 0) == .retry) == expected, "\(failure) \(method)")
        }
    }

    @Test("A status of gRPC is tried again, whatever the method, if the operator named it and the condition")
    func grpc() {
        var policy = RetryPolicy()
        #expect(policy.decide(.grpcStatus(14), method: .post, retries: 0) == .giveUp(.notConfigured))
        policy.grpcStatuses = 1 << 14
        #expect(policy.decide(.grpcStatus(14), method: .post, retries: 0) == .retry)
        #expect(policy.decide(.grpcStatus(13), method: .post, retries: 0) == .giveUp(.notConfigured))
        #expect(policy.decide(.grpcStatus(14), method: .post, retries: 2) == .giveUp(.exhausted))
        #expect(policy.decide(.grpcStatus(14), method: .post, retries: 0, bodyKept: false) == .giveUp(.bodyGone))
        policy.conditions = [.connectFailure]
        #expect(policy.decide(.grpcStatus(14), method: .post, retries: 0) == .giveUp(.notConfigured))
    }

    @Test("Over the whole product: nothing is retried that a rule forbids, and nothing is refused without one")
    func product() {
        for failure in failures {
            for method in methods {
                for raw in UInt8(0)..<32 {
                    for (vouched, started, kept) in [(false, false, true), (true, false, true), (false, true, true), (true, false, false)] {
                        for retries in UInt8(0)...3 {
                            let policy = RetryPolicy(
                                maxRetries: 2, conditions: .init(rawValue: raw), statuses: [500, 503], retryNonIdempotent: vouched)
                            let decision = policy.decide(
                                failure, method: method, retries: retries, responseStarted: started, bodyKept: kept)
                            let safe = failure.isUnsent || method.isIdempotent || vouched
                            let allowed = !started && kept && retries < 2 && safe && failure != .denied && failure != .resetAfterHead
                            let isRight =
                                switch decision {
                                case .retry: allowed
                                case .giveUp(.notConfigured): raw != 31 || !allowed || isUnlisted(failure)
                                case .giveUp: !allowed
                                }
                            // Not #expect each time: it costs more than all the rest of this test.
                            if !isRight { Issue.record("\(failure) \(method) \(policy) \(retries): \(decision)") }
                        }
                    }
                }
            }
        }
    }

    private func isUnlisted(_ failure: RetryPolicy.Failure) -> Bool {
        if case .status(let code) = failure { code != 500 && code != 503 } else { false }
    }

    @Test("maxRetries excludes the first try, and 0 means none")
    func count() {
        let policy = RetryPolicy(maxRetries: 3)
        #expect((UInt8(0)...5).filter { policy.decide(.connect, method: .get, retries: $0) == .retry }.count == 3)
        #expect(RetryPolicy(maxRetries: 0).decide(.connect, method: .get, retries: 0) == .giveUp(.exhausted))
    }

    @Test("A refusal on purpose is never retried, whatever the operator lists")
    func denied() {
        let policy = RetryPolicy(conditions: .all, statuses: [403, 429], retryNonIdempotent: true)
        #expect(policy.decide(.denied, method: .get, retries: 0) == .giveUp(.notRetriable))
        #expect(policy.decide(.status(429), method: .get, retries: 0) == .retry, "the application's own 429 may be listed")
    }

    @Test("A status set holds what was put in and nothing else")
    func statuses() {
        let set: StatusSet = [100, 404, 503, 599, 600, 7]
        #expect((UInt16(0)...700).filter(set.contains) == [100, 404, 503, 599])
    }
}
