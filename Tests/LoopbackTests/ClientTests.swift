import Host
import LoopbackTesting
import Testing

extension Loopback {
    /// Line 9, first half: programs that others wrote, through two sidecars.
    @Suite("Other people's programs")
    struct ClientTests {
        /// order calls two services that know nothing of any of this: Python's server and nginx.
        fileprivate final class World {
            let mesh: LoopbackMesh
            let order: MeshSidecar
            var backends: [MeshProcess] = []
            let names: [String]
            let page = "<html><body>" + String(repeating: "hello from behind two sidecars ", count: 400) + "</body></html>"

            init() throws {
                mesh = try LoopbackMesh(Shop.mesh)
                let root = try mesh.folder.makeFolder("www")
                try mesh.folder.write(page, to: "www/index.html", mode: 0o644)
                var names: [String] = []
                order = try mesh.add("order", outbound: ["inventory", "payment"])
                if let python = Programs.find("python3") {
                    let port = try BlockingListener.freePort()
                    backends.append(
                        try MeshProcess("http.server", [python, "-m", "http.server", "--bind", "127.0.0.1", "\(port)", "--directory", root], in: mesh.folder))
                    try mesh.add("inventory", at: SocketAddress("127.0.0.1:\(port)")!)
                    names.append("inventory")
                } else {
                    print("SKIPPED: python3 is not installed: no Python backend")
                }
                if let nginx = Programs.find("nginx") {
                    let port = try BlockingListener.freePort()
                    let here = try mesh.folder.makeFolder("nginx")
                    let config = try mesh.folder.write(
                        """
                        user root; daemon off; pid \(here)/pid; error_log stderr warn; worker_processes 1; events {}
                        http { access_log off; client_max_body_size 0; client_body_temp_path \(here)/b; proxy_temp_path \(here)/p; fastcgi_temp_path \(here)/f;
                         uwsgi_temp_path \(here)/u; scgi_temp_path \(here)/s;
                         server { listen 127.0.0.1:\(port); root \(root); types { text/html html; }
                          location = /echo { return 200 "$request_method $http_x_word $content_length"; } } }
                        """, to: "nginx.conf")
                    backends.append(try MeshProcess("nginx", [nginx, "-e", "stderr", "-p", here, "-c", config], in: mesh.folder))
                    try mesh.add("payment", version: "v1", at: SocketAddress("127.0.0.1:\(port)")!)
                    names.append("payment")
                } else {
                    print("SKIPPED: nginx is not installed: no nginx backend")
                }
                self.names = names
                try mesh.waitUntilSynced()
                for name in names {
                    let client = order.client(for: name)
                    guard eventually(within: .seconds(15), { (try? client.get("/index.html").status) == 200 }) else {
                        throw LoopbackMesh.Failure("\(name) does not answer: \(backends)\n\(mesh.diary)")
                    }
                }
            }

            deinit { backends.forEach { $0.kill() } }

            func run(_ arguments: String..., environment: [String: String] = [:], within limit: Duration = .seconds(60)) throws -> CommandResult {
                try CommandResult.run(arguments, environment: environment, in: mesh.folder, within: limit)
            }
        }

        @Test("curl, Python requests, wrk and Chromium talk through two sidecars to Python's server and nginx")
        func programs() throws {
            let world = try World()
            #expect(!world.names.isEmpty)
            for name in world.names {
                let port = "http://\(world.order.address(for: name))", proxy = "http://\(world.order.proxy)"
                try curl(world, name, port, proxy)
                try requests(world, name, port, proxy)
                try wrk(world, name, port)
                try chromium(world, name, port, proxy)
            }
        }

        private func curl(_ world: World, _ name: String, _ port: String, _ proxy: String) throws {
            guard let curl = Programs.find("curl") else { return print("SKIPPED: curl is not installed") }
            let direct = try world.run(curl, "-sS", "--fail", "\(port)/index.html", "\(port)/index.html")
            #expect(direct.code == 0 && direct.output == world.page + world.page, "\(name): \(direct)")
            let proxied = try world.run(curl, "-sS", "--fail", "http://\(name).weft/index.html", environment: ["http_proxy": proxy])
            #expect(proxied.code == 0 && proxied.output == world.page, "\(name) over HTTP_PROXY: \(proxied)")
            let head = try world.run(curl, "-sS", "-I", "\(port)/index.html")
            #expect(head.output.contains("200"), "\(name): \(head)")
            let missing = try world.run(curl, "-sS", "-o", "/dev/null", "-w", "%{http_code}", "\(port)/missing")
            #expect(missing.output == "404", "\(name): \(missing)")
            let range = try world.run(curl, "-sS", "-H", "Range: bytes=0-5", "\(port)/index.html")
            #expect(name == "payment" ? range.output == "<html>" : range.output == world.page, "\(name): \(range)")
            guard name == "payment" else { return }
            let body = try world.folder("upload", String(repeating: "u", count: 300_000))
            // Over 1 MiB or with this header curl asks first: Expect: 100-continue.
            let upload = try world.run(curl, "-sS", "-X", "POST", "-H", "Expect: 100-continue", "-H", "x-word: kept", "--data-binary", "@\(body)", "\(port)/echo")
            #expect(upload.output == "POST kept 300000", "\(upload)")
        }

        private func requests(_ world: World, _ name: String, _ port: String, _ proxy: String) throws {
            guard let python = Programs.find("python3"), try world.run(python, "-c", "import requests").code == 0 else {
                return print("SKIPPED: Python requests is not installed (apt install python3-requests)")
            }
            let script = try world.folder(
                "client.py",
                """
                import sys, requests
                port, proxy, name, size = sys.argv[1:5]
                session = requests.Session()
                for _ in range(50):
                    answer = session.get(port + "/index.html")
                    assert answer.status_code == 200 and len(answer.content) == int(size), answer
                answer = requests.get("http://%s.weft/index.html" % name, proxies={"http": proxy})
                assert answer.status_code == 200 and len(answer.content) == int(size), answer
                assert session.get(port + "/missing").status_code == 404
                def pieces():
                    for _ in range(10): yield b"x" * 1000
                assert session.post(port + "/index.html", data=pieces()).status_code in (405, 501)
                assert session.get(port + "/index.html").status_code == 200
                print("fine")
                """)
            let result = try world.run(python, script, port, proxy, name, "\(world.page.utf8.count)")
            #expect(result.code == 0 && result.output == "fine\n", "\(name): \(result)")
        }

        private func wrk(_ world: World, _ name: String, _ port: String) throws {
            guard let wrk = Programs.find("wrk") else { return print("SKIPPED: wrk is not installed (apt install wrk)") }
            // Python's server closes every connection (HTTP/1.0) and serves a few hundred a second: few connections for it.
            let result = try world.run(wrk, "-t1", "-c\(name == "payment" ? 32 : 4)", "-d2s", "\(port)/index.html")
            #expect(result.code == 0 && result.output.contains("Requests/sec"), "\(name): \(result)")
            #expect(!result.output.contains("Socket errors") && !result.output.contains("Non-2xx"), "\(name): \(result)")
            print("wrk to \(name): \(result.output.split(separator: "\n").first { $0.contains("Requests/sec") } ?? "")")
        }

        private func chromium(_ world: World, _ name: String, _ port: String, _ proxy: String) throws {
            guard let chromium = Programs.find("chromium", "chromium-browser", "google-chrome") else {
                return print("SKIPPED: Chromium is not installed (apt install chromium)")
            }
            let common = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=\(world.mesh.folder("chromium"))", "--dump-dom"]
            for arguments in [["\(port)/index.html"], ["--proxy-server=\(proxy)", "http://\(name).weft/index.html"]] {
                let result = try CommandResult.run([chromium] + common + arguments, in: world.mesh.folder, within: .seconds(60))
                // A browser killed by a signal of its own says nothing about the mesh.
                guard result.code < 128 else {
                    print("SKIPPED: Chromium crashed on this machine (exit \(result.code)): \(name) was not shown in a browser")
                    continue
                }
                #expect(result.output.contains("hello from behind two sidecars"), "\(name): \(result)")
            }
        }
    }
}

extension Loopback.ClientTests.World {
    fileprivate func folder(_ name: String, _ text: String) throws -> String { try mesh.folder.write(text, to: name) }
}
