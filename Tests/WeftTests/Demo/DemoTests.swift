import Glibc
import Host
import Pipeline
import Testing

@testable import Weft

@Suite("The demo's parts")
struct DemoTests {
    @Test("The shop it applies is the fixture, and every file it leaves to be tried is as valid as it says")
    func resources() throws {
        let path = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
        let fixture = try Files.read("/\(path)/Tests/Fixtures/shop.json")
        #expect(DemoResources.shop.split(separator: "\n") == String(decoding: fixture, as: UTF8.self).split(separator: "\n"))
        let schemas = FilterRegistry(StandardFilters.all).filters.map { ($0.name, FilterSchema(name: $0.name, fields: $0.fields)) }
        let filters = Dictionary(schemas, uniquingKeysWith: { first, _ in first })
        let shop = ResourceSet().applying([ConfigSource(name: "shop.json", text: DemoResources.shop)], filters: filters)
        #expect(!shop.isRefused)
        for (name, text) in DemoResources.files {
            let change = shop.result.applying([ConfigSource(name: name, text: text)], filters: filters)
            #expect(change.isRefused == (name == "impossible.json"), "\(name): \(change.problems.map(\.message))")
        }
    }

    @Test("Its load stays below the shop's rate limit")
    func load() { #expect(DemoLoad.checkoutsPerSecond + DemoLoad.reportsPerSecond < 100) }

    @Test("A service answers its part, keeps a log, and breaks when asked to")
    func service() throws {
        let folder = try ScratchFolder()
        let address = try #require(SocketAddress(unix: folder.path + "/payment.sock"))
        let loop = try EventLoop()
        defer { loop.destroy() }
        let service = DemoService(.payment, version: "v2", on: loop, environment: { _ in nil })
        try service.listen(at: address)
        func ask(_ method: String, _ path: String, query: String = "") -> ServiceResponse? {
            var answer: ServiceResponse?
            var isDone = false
            ServiceClient.send(ServiceRequest(method, path, query: query), to: ServiceTarget(address), on: loop) { outcome in
                answer = try? outcome.get()
                isDone = true
            }
            while !isDone { loop.turn(waitingAtMost: .milliseconds(100)) }
            return answer
        }
        #expect(ask("POST", "/charge")?.text.contains("payment v2") == true)
        #expect(ask("GET", "/nowhere")?.status == 404)
        #expect(ask("POST", "/break", query: "mode=503")?.status == 200)
        #expect(ask("POST", "/charge")?.status == 503)
        #expect(ask("POST", "/break", query: "mode=sideways")?.status == 400)
        #expect(ask("POST", "/break", query: "mode=off")?.status == 200)
        let statistics = ask("GET", "/stats")?.text ?? ""
        let log = try #require(ConfigReader.read(statistics, name: "stats").root)
        #expect(log["total"]?.integer == 3)
        #expect(log["requests"]?["POST /charge"]?.integer == 2)
        #expect(log["statuses"]?["503"]?.integer == 1)
        service.close()
        loop.turn(waitingAtMost: .zero)
    }
}
