# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_glintd_global_optspecs
    string join \n V/version h/help
end

function __fish_glintd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_glintd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_glintd_using_subcommand
    set -l cmd (__fish_glintd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c glintd -n "__fish_glintd_needs_command" -s V -l version -d 'Print the version and the digest of each model'
complete -c glintd -n "__fish_glintd_needs_command" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_needs_command" -f -a "run" -d 'Run the daemon: read a camera, a clip or the synthetic subject and publish the events over MQTT'
complete -c glintd -n "__fish_glintd_needs_command" -f -a "check" -d 'Check a configuration and print the effective one'
complete -c glintd -n "__fish_glintd_needs_command" -f -a "doctor" -d 'Say what is wrong with camera, face, broker, disk and clock, and what to do about it'
complete -c glintd -n "__fish_glintd_needs_command" -f -a "replay" -d 'Run the pipeline over a clip and print one event per line'
complete -c glintd -n "__fish_glintd_needs_command" -f -a "inspect" -d 'Write the measurements of every frame of a clip, a report about it, a plot, or its events for other programs'
complete -c glintd -n "__fish_glintd_needs_command" -f -a "selftest" -d 'Measure detection at a site: insert known movements into the frames of its camera, or of a clip from there, and count how many are found'
complete -c glintd -n "__fish_glintd_needs_command" -f -a "cameras" -d 'List the cameras, their modes and the mode that glint would choose. With --watch, help to aim one'
complete -c glintd -n "__fish_glintd_needs_command" -f -a "bench" -d 'Measure time, memory and allocations of each stage'
complete -c glintd -n "__fish_glintd_needs_command" -f -a "models" -d 'Install a signed bundle of models, look at what is installed, or go back to the one before'
complete -c glintd -n "__fish_glintd_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c glintd -n "__fish_glintd_using_subcommand run" -l config -d 'The configuration file. Files of conf.d beside it, and variables such as GLINT_MQTT__URL, are merged into it' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand run" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand check" -l config -d 'The configuration file. Files of conf.d beside it, and variables such as GLINT_MQTT__URL, are merged into it' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand check" -l environment -d 'Open every file, load the models, and try outbox, camera, broker and the address of the page: a line for each cause'
complete -c glintd -n "__fish_glintd_using_subcommand check" -l start -d 'The same for a service manager: fails only for problems that waiting does not fix. A camera, broker, name server or lock that is away is a warning. Prints no configuration'
complete -c glintd -n "__fish_glintd_using_subcommand check" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand doctor" -l config -d 'The configuration file. Files of conf.d beside it, and variables such as GLINT_MQTT__URL, are merged into it' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand doctor" -l seconds -d 'How long the camera is watched, 3 to 60' -r
complete -c glintd -n "__fish_glintd_using_subcommand doctor" -l bundle -d 'Write what was found, the configuration without secrets, and the log into a tar file. It holds no frames' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand doctor" -l json -d 'One JSON object on stdout'
complete -c glintd -n "__fish_glintd_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l fps -d 'Frames per second (.001 to 1000), in place of the clip\'s own times' -r
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l rotate -d 'Rotate the frames clockwise by 90, 180 or 270 degrees. A rotation that the file states is applied already' -r
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l from -d 'Skip the frames before this time. Times still count from the first frame of the clip' -r
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l to -d 'Stop at this time' -r
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l purpose -d 'The purpose of use. Events carry a class only if a purpose is given' -r -f -a "research\t''
clinical\t''
accessibility\t''
demonstration\t''"
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l kinds -d 'Kinds of movement to print [default: those of the configuration, or micro]' -r -f -a "micro\t''
macro\t''
blink\t''"
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l config -d 'Take device name, models (also an installed bundle), thresholds and purpose from this configuration file' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l explain -d 'Write one line of JSON per candidate, published or not: times, AUs, verdict, cause and score' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l mirror -d 'Undo mirroring: swap left and right, after --rotate'
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l pace -d 'Play the clip at its own speed'
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l mqtt -d 'Also publish the events to the broker of the configuration'
complete -c glintd -n "__fish_glintd_using_subcommand replay" -l json -d 'Print the summary, the last line on stderr, as a JSON object'
complete -c glintd -n "__fish_glintd_using_subcommand replay" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l fps -d 'Frames per second (.001 to 1000), in place of the clip\'s own times' -r
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l rotate -d 'Rotate the frames clockwise by 90, 180 or 270 degrees. A rotation that the file states is applied already' -r
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l from -d 'Skip the frames before this time. Times still count from the first frame of the clip' -r
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l to -d 'Stop at this time' -r
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l csv -d 'The CSV file to write, or - for standard output' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l format -d 'Columns of the CSV; without --csv it goes to standard output [default: glint]' -r -f -a "glint\t'Glint\'s own: one row a frame, of the largest face'
openface\t'Columns compatible with OpenFace: one row per frame and face'"
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l export -d 'Write the events for another program, by the ending of the name: .eaf (ELAN), .vtt (WebVTT), .tsv (BIDS, with a .json beside it), .edf (EDF+) or .jsonl (JSON lines). May be repeated' -r
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l faces -d 'Faces to follow at once, 1 to 8' -r
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l report -d 'Write a report: one HTML page with traces, events and rejected candidates, which needs no network' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l plot -d 'Write the figure of the report alone, as SVG or PNG by the ending of the name' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l explain -d 'Write one line of JSON per candidate, published or not: times, AUs, verdict, cause and score' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l mirror -d 'Undo mirroring: swap left and right, after --rotate'
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l with-faces -d 'Show the face in the report, at the first 50 micro-expressions: such a page is personal data'
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -l json -d 'Print the summary, the last line on stderr, as a JSON object'
complete -c glintd -n "__fish_glintd_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l fps -d 'Frames per second (.001 to 1000), in place of the clip\'s own times' -r
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l rotate -d 'Rotate the frames clockwise by 90, 180 or 270 degrees. A rotation that the file states is applied already' -r
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l from -d 'Skip the frames before this time. Times still count from the first frame of the clip' -r
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l to -d 'Stop at this time' -r
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l config -d 'The configuration file that names the camera [default: /etc/glint/glint.toml]. Broker and outbox are left alone' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l minutes -d 'How long the camera is tested, .1 to 600 minutes [default: 2]' -r
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l hours -d 'The same in hours, .01 to 168: candidates and events by cause, hour by hour' -r
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l seed -d 'Seed of the movements and their times' -r
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l rounds -d 'Number of runs over the clip, each with other movements [default: 3]' -r
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l picture -d 'Draw what was found, by size and by action unit, as SVG or PNG by the ending of the name' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l mirror -d 'Undo mirroring: swap left and right, after --rotate'
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -l json -d 'Print the result, and the summary on stderr, as a JSON object'
complete -c glintd -n "__fish_glintd_using_subcommand selftest" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand cameras" -l watch -d 'Print once a second what you need to aim the camera'
complete -c glintd -n "__fish_glintd_using_subcommand cameras" -l json -d 'Print JSON'
complete -c glintd -n "__fish_glintd_using_subcommand cameras" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand bench" -l fps -d 'Frames per second (.001 to 1000), in place of the clip\'s own times' -r
complete -c glintd -n "__fish_glintd_using_subcommand bench" -l rotate -d 'Rotate the frames clockwise by 90, 180 or 270 degrees. A rotation that the file states is applied already' -r
complete -c glintd -n "__fish_glintd_using_subcommand bench" -l from -d 'Skip the frames before this time. Times still count from the first frame of the clip' -r
complete -c glintd -n "__fish_glintd_using_subcommand bench" -l to -d 'Stop at this time' -r
complete -c glintd -n "__fish_glintd_using_subcommand bench" -l compare -d 'Print the medians beside those of an earlier run, a file that --json has printed' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand bench" -l models -d 'Measure each network instead of a clip'
complete -c glintd -n "__fish_glintd_using_subcommand bench" -l mirror -d 'Undo mirroring: swap left and right, after --rotate'
complete -c glintd -n "__fish_glintd_using_subcommand bench" -l json -d 'Print the result as a JSON object'
complete -c glintd -n "__fish_glintd_using_subcommand bench" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand models; and not __fish_seen_subcommand_from install verify list rollback help" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand models; and not __fish_seen_subcommand_from install verify list rollback help" -f -a "install" -d 'Check a bundle and use it. The previous bundle is kept'
complete -c glintd -n "__fish_glintd_using_subcommand models; and not __fish_seen_subcommand_from install verify list rollback help" -f -a "verify" -d 'Check a bundle as install does, and install nothing'
complete -c glintd -n "__fish_glintd_using_subcommand models; and not __fish_seen_subcommand_from install verify list rollback help" -f -a "list" -d 'List what is installed, whether it can be used, and which is in use'
complete -c glintd -n "__fish_glintd_using_subcommand models; and not __fish_seen_subcommand_from install verify list rollback help" -f -a "rollback" -d 'Remove the newest bundle. The previous one, or the built-in models, take effect'
complete -c glintd -n "__fish_glintd_using_subcommand models; and not __fish_seen_subcommand_from install verify list rollback help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from install" -l config -d 'The configuration file: it names the trusted keys (model.trusted_keys) and the state folder (that of outbox.path)' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from install" -l state -d 'The state folder, where the unit sets another one (/var/lib/glint-door of glintd@door)' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from verify" -l config -d 'The configuration file: it names the trusted keys (model.trusted_keys) and the state folder (that of outbox.path)' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from verify" -l state -d 'The state folder, where the unit sets another one (/var/lib/glint-door of glintd@door)' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from list" -l config -d 'The configuration file: it names the trusted keys (model.trusted_keys) and the state folder (that of outbox.path)' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from list" -l state -d 'The state folder, where the unit sets another one (/var/lib/glint-door of glintd@door)' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from list" -l json -d 'One JSON object on stdout'
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from rollback" -l config -d 'The configuration file: it names the trusted keys (model.trusted_keys) and the state folder (that of outbox.path)' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from rollback" -l state -d 'The state folder, where the unit sets another one (/var/lib/glint-door of glintd@door)' -r -F
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help'
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "install" -d 'Check a bundle and use it. The previous bundle is kept'
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Check a bundle as install does, and install nothing'
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "list" -d 'List what is installed, whether it can be used, and which is in use'
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "rollback" -d 'Remove the newest bundle. The previous one, or the built-in models, take effect'
complete -c glintd -n "__fish_glintd_using_subcommand models; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c glintd -n "__fish_glintd_using_subcommand help; and not __fish_seen_subcommand_from run check doctor replay inspect selftest cameras bench models help" -f -a "run" -d 'Run the daemon: read a camera, a clip or the synthetic subject and publish the events over MQTT'
complete -c glintd -n "__fish_glintd_using_subcommand help; and not __fish_seen_subcommand_from run check doctor replay inspect selftest cameras bench models help" -f -a "check" -d 'Check a configuration and print the effective one'
complete -c glintd -n "__fish_glintd_using_subcommand help; and not __fish_seen_subcommand_from run check doctor replay inspect selftest cameras bench models help" -f -a "doctor" -d 'Say what is wrong with camera, face, broker, disk and clock, and what to do about it'
complete -c glintd -n "__fish_glintd_using_subcommand help; and not __fish_seen_subcommand_from run check doctor replay inspect selftest cameras bench models help" -f -a "replay" -d 'Run the pipeline over a clip and print one event per line'
complete -c glintd -n "__fish_glintd_using_subcommand help; and not __fish_seen_subcommand_from run check doctor replay inspect selftest cameras bench models help" -f -a "inspect" -d 'Write the measurements of every frame of a clip, a report about it, a plot, or its events for other programs'
complete -c glintd -n "__fish_glintd_using_subcommand help; and not __fish_seen_subcommand_from run check doctor replay inspect selftest cameras bench models help" -f -a "selftest" -d 'Measure detection at a site: insert known movements into the frames of its camera, or of a clip from there, and count how many are found'
complete -c glintd -n "__fish_glintd_using_subcommand help; and not __fish_seen_subcommand_from run check doctor replay inspect selftest cameras bench models help" -f -a "cameras" -d 'List the cameras, their modes and the mode that glint would choose. With --watch, help to aim one'
complete -c glintd -n "__fish_glintd_using_subcommand help; and not __fish_seen_subcommand_from run check doctor replay inspect selftest cameras bench models help" -f -a "bench" -d 'Measure time, memory and allocations of each stage'
complete -c glintd -n "__fish_glintd_using_subcommand help; and not __fish_seen_subcommand_from run check doctor replay inspect selftest cameras bench models help" -f -a "models" -d 'Install a signed bundle of models, look at what is installed, or go back to the one before'
complete -c glintd -n "__fish_glintd_using_subcommand help; and not __fish_seen_subcommand_from run check doctor replay inspect selftest cameras bench models help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c glintd -n "__fish_glintd_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "install" -d 'Check a bundle and use it. The previous bundle is kept'
complete -c glintd -n "__fish_glintd_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "verify" -d 'Check a bundle as install does, and install nothing'
complete -c glintd -n "__fish_glintd_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "list" -d 'List what is installed, whether it can be used, and which is in use'
complete -c glintd -n "__fish_glintd_using_subcommand help; and __fish_seen_subcommand_from models" -f -a "rollback" -d 'Remove the newest bundle. The previous one, or the built-in models, take effect'
