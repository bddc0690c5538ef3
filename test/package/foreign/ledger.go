// A user's program in Go with the SDK that `pulumi package gen-sdk` writes, run by `ledger ACTION`.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"example.com/pulumi-pgbackstop/sdk/go/pgbackstop"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

type settings struct {
	Share         string
	DataDirectory string
	KeepDays      float64
	Host          struct {
		User            string
		DatabaseUser    string
		Port            float64
		SocketDirectory string
		NodePath        string
		RestartCommand  []string
		Directories     map[string]string
	}
}

func program(given settings) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		key, err := pgbackstop.NewCipherPassphrase(ctx, "key", nil)
		if err != nil {
			return err
		}
		nas, err := pgbackstop.NewPosixRepository(ctx, "nas", &pgbackstop.PosixRepositoryArgs{
			Path:   pulumi.String(given.Share),
			Cipher: key.Ref,
		})
		if err != nil {
			return err
		}
		host, folders := given.Host, given.Host.Directories
		ledger, err := pgbackstop.NewPostgresHost(ctx, "ledger", &pgbackstop.PostgresHostArgs{
			Connection:    pgbackstop.HostConnectionArgs{Local: pgbackstop.LocalConnectionArgs{}},
			DataDirectory: pulumi.String(given.DataDirectory),
			Repositories: pgbackstop.HostRepositoryArgsMap{
				"repo1": pgbackstop.HostRepositoryArgsArgs{At: nas.Target, KeepDays: pulumi.Float64(given.KeepDays)},
			},
			Schedules: pgbackstop.BackupSchedulesArgs{
				Full: pgbackstop.BackupScheduleArgsArgs{Cron: pulumi.String("30 2 * * *")},
			},
			User:            pulumi.String(host.User),
			DatabaseUser:    pulumi.String(host.DatabaseUser),
			Port:            pulumi.Float64(host.Port),
			SocketDirectory: pulumi.String(host.SocketDirectory),
			NodePath:        pulumi.String(host.NodePath),
			AllowRestart:    pulumi.Bool(true),
			RestartCommand:  pulumi.ToStringArray(host.RestartCommand),
			Directories: pgbackstop.HostDirectoriesArgs{
				Config: pulumi.String(folders["config"]),
				Lib:    pulumi.String(folders["lib"]),
				Units:  pulumi.String(folders["units"]),
				Lock:   pulumi.String(folders["lock"]),
				Spool:  pulumi.String(folders["spool"]),
				Log:    pulumi.String(folders["log"]),
			},
		})
		if err != nil {
			return err
		}
		ctx.Export("firstBackup", ledger.FirstBackup)
		ctx.Export("target", nas.Target)
		return nil
	}
}

func run(action string) (map[string]any, error) {
	text, err := os.ReadFile("settings.json")
	if err != nil {
		return nil, err
	}
	var given settings
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, err
	}
	ctx := context.Background()
	stack, err := auto.UpsertStackInlineSource(ctx, "go", "ledger", program(given), auto.WorkDir(filepath.Dir(os.Args[0])))
	if err != nil {
		return nil, err
	}
	switch action {
	case "preview":
		result, err := stack.Preview(ctx)
		return map[string]any{"changes": result.ChangeSummary, "stdout": result.StdOut}, err
	case "destroy":
		result, err := stack.Destroy(ctx)
		return map[string]any{"stdout": result.StdOut}, err
	}
	result, err := stack.Up(ctx)
	if err != nil {
		return nil, err
	}
	outputs, secrets := map[string]any{}, []string{}
	for name, output := range result.Outputs {
		outputs[name] = output.Value
		if output.Secret {
			secrets = append(secrets, name)
		}
	}
	return map[string]any{
		"changes": result.Summary.ResourceChanges, "stdout": result.StdOut, "outputs": outputs, "secrets": secrets,
	}, nil
}

func main() {
	answer, err := run(os.Args[1])
	if err != nil {
		answer = map[string]any{"error": err.Error()}
	}
	line, _ := json.Marshal(answer)
	fmt.Printf("\n%s\n", line)
}
