//! The network, and the variables that lead through it.

use super::System;

impl System {
    /// Sets a variable for the commands that follow.
    pub(in crate::doctor) fn set_variable(self, name: &str, value: &str) -> String {
        match self {
            Self::Linux | Self::Macos => format!("export {name}={}", self.word(value)),
            Self::Windows => format!("$env:{name} = {}", self.shell().quoted(value)),
        }
    }

    /// Takes a variable away.
    pub(in crate::doctor) fn unset_variable(self, name: &str) -> String {
        match self {
            Self::Linux | Self::Macos => format!("unset {name}"),
            Self::Windows => format!("Remove-Item Env:{name}"),
        }
    }

    /// How the system resolves a name.
    pub(in crate::doctor) fn resolve(self, name: &str) -> String {
        let (name, servers) = (self.word(name), self.name_servers());
        match self {
            Self::Linux => format!("getent hosts {name}; {servers}"),
            Self::Macos => format!("dscacheutil -q host -a name {name}; {servers}"),
            Self::Windows => format!("Resolve-DnsName {name}; {servers}"),
        }
    }

    /// Which name servers it asks.
    pub(in crate::doctor) fn name_servers(self) -> &'static str {
        match self {
            Self::Linux => "cat /etc/resolv.conf",
            Self::Macos => "scutil --dns",
            Self::Windows => "Get-DnsClientServerAddress",
        }
    }

    /// Who listens on a TCP port.
    pub(in crate::doctor) fn who_listens(self, port: u16) -> String {
        match self {
            Self::Linux => format!("ss -ltnp 'sport = :{port}'"),
            Self::Macos => format!("sudo lsof -nP -iTCP:{port} -sTCP:LISTEN"),
            Self::Windows => format!(
                "Get-Process -Id (Get-NetTCPConnection -State Listen -LocalPort {port}).OwningProcess"
            ),
        }
    }

    /// How long packets take.
    pub(in crate::doctor) fn ping(self, host: &str) -> String {
        let count = match self {
            Self::Linux | Self::Macos => "-c",
            Self::Windows => "-n",
        };
        format!("ping {count} 5 {}", self.word(host))
    }

    /// The certificate that a server shows.
    pub(in crate::doctor) fn show_certificate(self, host: &str, port: u16) -> String {
        match self {
            Self::Linux | Self::Macos => format!(
                "openssl s_client -connect {host}:{port} -servername {host} </dev/null | openssl x509 -noout -subject \
                 -issuer -dates -ext subjectAltName"
            ),
            Self::Windows => format!("curl.exe -vI https://{host}:{port}"),
        }
    }

    /// curl itself: PowerShell has another command of that name.
    fn curl(self) -> &'static str {
        match self {
            Self::Linux | Self::Macos => "curl",
            Self::Windows => "curl.exe",
        }
    }

    /// Where output goes that nobody reads.
    fn nowhere(self) -> &'static str {
        match self {
            Self::Linux | Self::Macos => "/dev/null",
            Self::Windows => "NUL",
        }
    }

    /// Asks an address and shows the answer.
    pub(in crate::doctor) fn get(self, url: &str) -> String {
        format!("{} -s {}", self.curl(), self.word(url))
    }

    /// The same with every step of the connection.
    pub(in crate::doctor) fn get_with_steps(self, url: &str) -> String {
        format!("{} -sSv {}", self.curl(), self.word(url))
    }

    /// The steps alone.
    pub(in crate::doctor) fn steps(self, url: &str) -> String {
        let (curl, nowhere) = (self.curl(), self.nowhere());
        format!("{curl} -sv -o {nowhere} {}", self.word(url))
    }

    /// Asks for the upgrade to a WebSocket.
    pub(in crate::doctor) fn upgrade(self, url: &str, subprotocol: &str) -> String {
        format!(
            "{} -sv --http1.1 -m 5 -o {} -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: \
             13' -H 'Sec-WebSocket-Key: ZG9jdG9yZG9jdG9yZG9jdA==' -H 'Sec-WebSocket-Protocol: {subprotocol}' {}",
            self.curl(),
            self.nowhere(),
            self.word(url)
        )
    }

    /// Sends JSON. PowerShell takes double quotes out of what it gives to other programs, so it sends by itself.
    pub(in crate::doctor) fn post_json(self, url: &str, body: &str) -> String {
        let (url, body) = (self.word(url), self.word(body));
        match self {
            Self::Linux | Self::Macos => {
                format!("curl -sS {url} -H 'Content-Type: application/json' -d {body}")
            }
            Self::Windows => format!(
                "Invoke-RestMethod -Method Post -ContentType 'application/json' -Uri {url} -Body {body}"
            ),
        }
    }
}
