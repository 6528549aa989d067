# Installs dgon-agent as a Windows service for this machine. Run it in an elevated PowerShell, from this folder:
#   Set-ExecutionPolicy -Scope Process RemoteSigned; .\install.ps1
# It copies the program to Program Files, adds it to the PATH, registers the service, and tells how to enrol.
#Requires -Version 5.1
#Requires -RunAsAdministrator
$ErrorActionPreference = 'Stop'

$here = Split-Path -Parent $MyInvocation.MyCommand.Path
$program = Join-Path $env:ProgramFiles 'DGON'
$state = Join-Path $env:ProgramData 'DGON'
$exe = Join-Path $program 'dgon-agent.exe'

$service = Get-Service -Name 'dgon-agent' -ErrorAction SilentlyContinue
if ($service -and $service.Status -ne 'Stopped') { Stop-Service -Name 'dgon-agent' }

New-Item -ItemType Directory -Force -Path $program | Out-Null
Copy-Item -Force -Path (Join-Path $here 'dgon-agent.exe') -Destination $exe
Copy-Item -Force -Path (Join-Path $here 'dgon-agent.ps1') -Destination $program

$path = [Environment]::GetEnvironmentVariable('Path', 'Machine')
if (($path -split ';') -notcontains $program) {
    [Environment]::SetEnvironmentVariable('Path', "$path;$program", 'Machine')
}

# It makes the folder of the machine's key, closed to all but administrators and the service; also for an upgrade.
& $exe service install
if ($LASTEXITCODE) { throw "dgon-agent service install failed ($LASTEXITCODE)" }

Write-Host "dgon-agent is installed in $program."
if (Test-Path (Join-Path $state 'node.secret')) {
    Write-Host 'The service runs.'
} else {
    Write-Host 'This machine is not enrolled yet. In a new elevated window:'
    Write-Host "  dgon-agent --state-dir `"$state`" enroll --api https://YOUR-CONTROL-PLANE"
    Write-Host '  Start-Service dgon-agent'
}
