# Removes the service and the program; identity, receipts and settings stay in ProgramData\DGON unless -Purge is given.
#Requires -Version 5.1
#Requires -RunAsAdministrator
param([switch]$Purge)
$ErrorActionPreference = 'Stop'

$program = Join-Path $env:ProgramFiles 'DGON'
$state = Join-Path $env:ProgramData 'DGON'
$exe = Join-Path $program 'dgon-agent.exe'

if (Get-Service -Name 'dgon-agent' -ErrorAction SilentlyContinue) {
    Stop-Service -Name 'dgon-agent' -ErrorAction SilentlyContinue
    & $exe service uninstall
}
if (Test-Path $program) { Remove-Item -Recurse -Force -Path $program }
$path = [Environment]::GetEnvironmentVariable('Path', 'Machine')
$kept = ($path -split ';') | Where-Object { $_ -and $_ -ne $program }
[Environment]::SetEnvironmentVariable('Path', ($kept -join ';'), 'Machine')

if ($Purge -and (Test-Path $state)) {
    Remove-Item -Recurse -Force -Path $state
    Write-Host 'dgon-agent and everything of it is removed.'
} else {
    Write-Host "dgon-agent is removed. Kept: $state (remove it with -Purge)."
}
