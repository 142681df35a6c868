/// Every command there is, in the order help lists them. Parsing, help and suggestions read this and nothing else.
package enum CommandTable {
    package static let all: [Command] =
        [
            DemoCommand.command,
            ControlPlaneCommand.command, SidecarCommand.command, TokenCommand.create, TokenCommand.list, TokenCommand.revoke,
            ApplyCommand.command, GetCommand.command, DeleteCommand.command, ExplainCommand.command,
            PsCommand.command, StatCommand.command,
            IdentityCommand.revoke, IdentityCommand.restore, IdentityCommand.list,
            OperatorCommand.create, OperatorCommand.list, OperatorCommand.revoke,
            AuthorityCommand.status, AuthorityCommand.rotate,
            ConfigCheckCommand.command,
            FiltersCommand.list, FiltersCommand.describe,
            VersionCommand.command, HelpCommand.command,
            DemoServiceCommand.command,
        ]
}
