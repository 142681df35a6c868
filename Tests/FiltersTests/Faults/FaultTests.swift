import Pipeline
import Testing
import WeftTesting

/// What a caller gets when its service misbehaves, by method: tries, status, flag.
@Suite("Faults and methods")
struct FaultTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var fault: String
        var method: String
        var behaviours: [UpstreamBehaviour]
        var tries: Int
        var status: Int
        var flag: ResponseFlag
        var isCut = false
        var elapsed: Nanoseconds = .zero
        var testDescription: String { "\(method), the service \(fault)" }
    }

    /// The last behaviour goes on for ever.
    static let cases: [Case] = [
        Case(fault: "hangs", method: "GET", behaviours: [.hang], tries: 3, status: 504, flag: .URX, elapsed: .seconds(3)),
        Case(fault: "hangs", method: "POST", behaviours: [.hang], tries: 1, status: 504, flag: .UT, elapsed: .seconds(1)),
        Case(fault: "refuses", method: "GET", behaviours: [.refuse], tries: 3, status: 503, flag: .URX),
        Case(fault: "refuses", method: "POST", behaviours: [.refuse], tries: 3, status: 503, flag: .URX),
        Case(fault: "refuses once", method: "POST", behaviours: [.refuse, .ok], tries: 2, status: 200, flag: .none),
        Case(fault: "closes an idle connection", method: "POST", behaviours: [.closeUnsent, .ok], tries: 2, status: 200, flag: .none),
        Case(fault: "resets before the head", method: "GET", behaviours: [.resetBeforeHead], tries: 3, status: 503, flag: .URX),
        Case(fault: "resets before the head", method: "POST", behaviours: [.resetBeforeHead], tries: 1, status: 503, flag: .UC),
        Case(fault: "resets before the head", method: "PUT", behaviours: [.resetBeforeHead, .ok], tries: 2, status: 200, flag: .none),
        Case(fault: "resets after the head", method: "GET", behaviours: [.resetAfterHead(200)], tries: 1, status: 200, flag: .UC, isCut: true),
        Case(fault: "resets after the head", method: "POST", behaviours: [.resetAfterHead(200)], tries: 1, status: 200, flag: .UC, isCut: true),
        Case(fault: "resets within the body", method: "GET", behaviours: [.resetWithinBody(200)], tries: 1, status: 200, flag: .UC, isCut: true),
        Case(fault: "resets within the body", method: "POST", behaviours: [.resetWithinBody(200)], tries: 1, status: 200, flag: .UC, isCut: true),
        Case(fault: "answers no HTTP", method: "GET", behaviours: [.garbage], tries: 3, status: 502, flag: .URX),
        Case(fault: "answers no HTTP", method: "POST", behaviours: [.garbage], tries: 1, status: 502, flag: .UPE),
        Case(fault: "answers 503", method: "GET", behaviours: [.answer(503)], tries: 3, status: 503, flag: .URX),
        Case(fault: "answers 503", method: "POST", behaviours: [.answer(503)], tries: 1, status: 503, flag: .none),
        Case(fault: "answers 500", method: "GET", behaviours: [.answer(500)], tries: 1, status: 500, flag: .none),
        Case(fault: "answers 429", method: "GET", behaviours: [.answer(429)], tries: 1, status: 429, flag: .none),
        Case(fault: "answers slowly", method: "GET", behaviours: [.answer(200, after: .milliseconds(900))], tries: 1, status: 200, flag: .none, elapsed: .milliseconds(900)),
        Case(fault: "answers slowly", method: "POST", behaviours: [.answer(200, after: .milliseconds(900))], tries: 1, status: 200, flag: .none, elapsed: .milliseconds(900)),
        Case(fault: "stalls within the body", method: "GET", behaviours: [.slowBody(200, after: .seconds(9))], tries: 1, status: 200, flag: .UT, isCut: true, elapsed: .seconds(1)),
        Case(fault: "dies", method: "GET", behaviours: [.resetBeforeHead, .refuse], tries: 3, status: 503, flag: .URX),
        Case(fault: "dies", method: "POST", behaviours: [.resetBeforeHead, .refuse], tries: 1, status: 503, flag: .UC),
    ]

    @Test("Tries, status and flag are those of ARCHITECTURE §9", arguments: cases)
    func table(row: Case) throws {
        let harness = try ChainHarness(
            #"["stats",{"filter":"timeout","name":"request-timeout","config":{"after":"20s"}},{"filter":"retry","config":{"backoff":{"base":"0s","max":"0s"}}},"breaker",{"filter":"timeout","name":"attempt-timeout","config":{"after":"1s"}}]"#)
        harness.upstream = { _, number in row.behaviours[min(number, row.behaviours.count - 1)] }
        var request = HarnessRequest(row.method, "/")
        if row.method != "GET" { request.body = ["first ", "second"] }
        let answer = harness.send(request)
        #expect(answer.isFinished)
        #expect(answer.attempts == row.tries)
        #expect(answer.status == row.status)
        #expect(answer.flag == row.flag)
        #expect(answer.isCut == row.isCut)
        #expect(answer.elapsed == row.elapsed)
        #expect(answer.forwarded.allSatisfy { $0.body == request.body.joined() })
        #expect(harness.gaugesNotZero == [])
    }
}
