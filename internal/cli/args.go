package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// checkArgs lets a verb say in its own terms what is wrong with its arguments.
func checkArgs(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			if u := (usageError{}); errors.As(err, &u) {
				return err
			}
			return usageError{argsError(cmd, args, err), cmd.CommandPath()}
		}
		if cmd.ValidateFlagGroups() != nil {
			if err := apart(cmd); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
		}
		return nil
	}
}

// argsError says which argument of those in the verb's line is missing, or
// which is one too many.
func argsError(cmd *cobra.Command, args []string, err error) error {
	_, line, _ := strings.Cut(cmd.Use, " ")
	places := strings.Fields(line)
	needed := slices.IndexFunc(places, func(p string) bool { return strings.HasPrefix(p, "[") })
	if needed < 0 {
		needed = len(places)
	}
	want := strings.TrimSpace(cmd.CommandPath() + " " + line)
	switch {
	case len(args) < needed:
		return fmt.Errorf("%s is missing: want %s", strings.TrimRight(places[len(args)], "…"), want)
	case len(args) > len(places):
		return fmt.Errorf("%s is one argument too many: want %s", quote(args[len(places)]), want)
	}
	return err
}

// apart finds flags that were given together and do not go together.
func apart(cmd *cobra.Command) error {
	groups := map[string][]string{}
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		for _, g := range f.Annotations["cobra_annotation_mutually_exclusive"] {
			if groups[g] = append(groups[g], "--"+f.Name); len(groups[g]) == 2 {
				err = fmt.Errorf("%s do not go together: give one of them", strings.Join(groups[g], " and "))
			}
		}
	})
	return err
}

// flagError says what is wrong with a flag's value.
func flagError(err error) error {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err
	}
	want := bad.GetFlag().Value.Type()
	switch want {
	case "int", "int64", "uint64":
		want = "a whole number"
	case "duration":
		want = "a time such as 30s or 5m"
	case "bool":
		want = "true or false"
	default:
		return err
	}
	return fmt.Errorf("--%s %s: want %s", bad.GetFlag().Name, quote(bad.GetValue()), want)
}
