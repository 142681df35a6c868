// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is compiled like this; a warning is an error.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "weft",
    products: [
        .library(name: "Pipeline", targets: ["Pipeline"]),
        .library(name: "Weft", targets: ["Weft"]),
        .library(name: "WeftTesting", targets: ["WeftTesting"]),
        .executable(name: "weft", targets: ["weft-main"]),
    ],
    targets: [
        // C: two libraries of the system, and shims for what Swift cannot say.
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CPlatform"),

        // Pipeline decides. Filters are decisions you can name in a config. Host acts. ControlPlane tells every Host
        // what to decide with. Weft is the command line over all of it.
        .target(
            name: "Pipeline", exclude: ["README.md"],
            swiftSettings: strict + [.strictMemorySafety(), .enableExperimentalFeature("Lifetimes")]),
        .target(
            name: "Filters", dependencies: ["Pipeline"],
            exclude: ["README.md"]
                + ["Authz", "Breaker", "RateLimit", "Retry", "Router", "Stats", "TLS", "Timeout"].map { "\($0)/README.md" },
            swiftSettings: strict),
        .target(
            name: "Host", dependencies: ["Pipeline", "COpenSSL", "CZstd", "CPlatform"], exclude: ["README.md", "Connection/README.md", "HTTP2/README.md"],
            swiftSettings: strict),
        .target(
            name: "ControlPlane", dependencies: ["Host", "Pipeline", "COpenSSL", "CZstd", "CPlatform"], exclude: ["README.md"],
            swiftSettings: strict),
        .target(
            name: "Weft", dependencies: ["ControlPlane", "Host", "Filters", "Pipeline", "CPlatform"], exclude: ["README.md"],
            swiftSettings: strict),
        // The example of a filter of one's own; see its README.
        .target(
            name: "TenantGateFilter", dependencies: ["Pipeline"], path: "filters.d/tenant-gate", exclude: ["README.md"],
            swiftSettings: strict),
        .executableTarget(name: "weft-main", dependencies: ["Weft"], swiftSettings: strict),

        // Tests mirror Sources, folder for folder.
        .target(
            name: "WeftTesting", dependencies: ["Filters", "Pipeline"], path: "Tests/Support", swiftSettings: strict),
        .testTarget(
            name: "PipelineTests", dependencies: ["Pipeline", "WeftTesting"], exclude: ["HTTP2/README.md"], swiftSettings: strict),
        .testTarget(name: "FiltersTests", dependencies: ["Filters", "Pipeline", "TenantGateFilter", "WeftTesting"], swiftSettings: strict),
        .testTarget(name: "HostTests", dependencies: ["Host", "Filters", "Pipeline", "COpenSSL", "WeftTesting"], exclude: ["README.md"],
            swiftSettings: strict),
        // A disk that fails, for the store's tests and for the simulation.
        .target(
            name: "ControlPlaneTesting", dependencies: ["ControlPlane", "Pipeline"], path: "Tests/ControlPlaneSupport",
            swiftSettings: strict),
        .testTarget(
            name: "ControlPlaneTests", dependencies: ["ControlPlane", "ControlPlaneTesting", "Filters", "Host", "Pipeline", "WeftTesting"],
            swiftSettings: strict),
        .testTarget(
            name: "SimulationTests", dependencies: ["ControlPlane", "ControlPlaneTesting", "Filters", "Pipeline", "WeftTesting"],
            exclude: ["README.md"], swiftSettings: strict),
        // Whole meshes of processes on this machine: harness and tests.
        .target(
            name: "LoopbackTesting", dependencies: ["Host", "Pipeline", "COpenSSL", "CPlatform"], path: "Tests/LoopbackSupport",
            exclude: ["WebSocket/websocket.py", "HTTP2/abuse.py", "HTTP2/grpc_peer.py", "HTTP2/h2_peer.py"],
            swiftSettings: strict),
        // A sidecar with a filter that others lack.
        .executableTarget(
            name: "tenant-gate-sidecar", dependencies: ["TenantGateFilter", "Weft"], path: "Tests/TenantGateSidecar", swiftSettings: strict),
        .testTarget(
            name: "LoopbackTests", dependencies: ["LoopbackTesting", "Host", "Pipeline", "tenant-gate-sidecar"], exclude: ["README.md"],
            swiftSettings: strict),
        .testTarget(name: "WeftTests", dependencies: ["Weft", "Host", "Pipeline"], swiftSettings: strict),
        // What holds for any bytes, judged by libFuzzer (`make fuzz`) and, for every kept input, by an ordinary test.
        .target(name: "FuzzOracles", dependencies: ["Host", "Pipeline"], path: "Tests/FuzzOracles", swiftSettings: strict),
        .target(name: "FuzzEntry", dependencies: ["FuzzOracles"], path: "Tests/FuzzEntry", swiftSettings: strict),
        .testTarget(
            name: "FuzzTests", dependencies: ["FuzzOracles"], exclude: ["README.md", "Corpus", "Findings", "Dictionaries"],
            swiftSettings: strict),
        // What no compiler checks: see its README.
        .testTarget(name: "TidyTests", exclude: ["README.md"], swiftSettings: strict),
    ]
)
