package enum MTLSMode: String, CaseIterable, Sendable, ConfigValue { case strict, permissive }
package enum AccessAction: String, CaseIterable, Sendable, ConfigValue { case allow, deny }

/// What holds for the whole mesh. There is one.
package struct MeshResource: ResourceBody {
    package static let kind = ResourceKind.mesh
    package let identity: ResourceIdentity
    package let trustDomain: String
    package let mtls: MTLSMode
    package let defaultAccess: AccessAction
    package let egress: AccessAction
    package let settings: Settings
    package let inboundSettings: Settings

    package init(_ fields: inout ConfigFields) {
        identity = ResourceIdentity(Self.kind, &fields)
        trustDomain = fields.read(
            "trustDomain", default: "weft.internal", "First part of every identity: spiffe://<trustDomain>/ns/…/sa/….", .domain)
        mtls = fields.read("mtls", default: .strict, "Whether plaintext from outside the mesh is taken.")
        defaultAccess = fields.read("defaultAccess", default: .allow, "What happens to calls that no policy speaks about.")
        egress = fields.read("egress", default: .deny, "What happens to calls of unknown destinations.", .notYet("allow"))
        settings = fields.read("settings", "Values for stages of all outbound chains, by stage id.")
        inboundSettings = fields.read("inboundSettings", "Values for stages of all inbound chains, by stage id.")
    }
}
