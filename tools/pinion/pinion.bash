# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Completion of pinion, hugepages and devbind for bash: words, and of a running service the names of
# its pools. To try it: source tools/pinion/pinion.bash

# What there is to complete with: the words that begin like the current one.
_pinion_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

# The same of names that others chose, one a line: compgen -W would expand what is in them, commands
# too. The current word, or another one that is given, is as typed, with its quotes: those go.
_pinion_names() {
    local typed=${1-${COMP_WORDS[COMP_CWORD]}} name plain
    plain=$(_pinion_unquoted "$typed")
    COMPREPLY=()
    while IFS= read -r name; do
        [[ $name == "$typed"* || $name == "$plain"* ]] && COMPREPLY+=("$name")
    done
}

# A word without its quotes, the last of which may still be missing; nothing in it is expanded.
_pinion_unquoted() {
    local word=$1 quote='' plain='' char i
    for ((i = 0; i < ${#word}; i++)); do
        char=${word:i:1}
        if [[ $char == \\ && $quote != \' ]]; then
            i=$((i + 1))
            plain+=${word:i:1}
        elif [[ $char == "$quote" ]]; then
            quote=
        elif [[ -z $quote && $char == [\"\'] ]]; then
            quote=$char
        else
            plain+=$char
        fi
    done
    printf '%s' "$plain"
}

# Bash ends a word at a colon and at = as well. What is complete up to the last one in the word goes.
_pinion_broken() {
    local word=$1 broken
    for broken in : =; do
        [[ $word == *$broken* && $COMP_WORDBREAKS == *$broken* ]] &&
            COMPREPLY=("${COMPREPLY[@]#"${word%"$broken"*}$broken"}")
    done
}

# The words up to the current one, in typed, as blanks part them.
_pinion_typed() {
    local rest=${COMP_LINE:0:COMP_POINT} word
    typed=()
    for word in "${COMP_WORDS[@]:0:COMP_CWORD + 1}"; do
        if [[ ${#typed[@]} -eq 0 || $rest == [[:blank:]]* ]]; then
            typed+=("$word")
        else
            typed[-1]+=$word
        fi
        rest=${rest#"${rest%%[![:blank:]]*}"}
        rest=${rest#"$word"}
    done
}

# Names of pools, if there is a service that tells them: the first table of ls. Of the word that is
# given, which may have colons.
_pinion_pools() {
    local word=$1
    _pinion_names "$word" < <(pinion "${@:2}" ls 2>/dev/null | awk 'NR > 1 && !NF { exit } NR > 1 { print $1 }')
    _pinion_broken "$word"
}

# Files, for the word that is given, behind what stands before them in it.
_pinion_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -P "${1:0:${#1}-${#2}}" -f -- "$2")
    _pinion_broken "$1"
}

_pinion() {
    local -a typed words=() socket=()
    local current i
    _pinion_typed
    current=${typed[-1]}
    # The command's words, without options; --socket has an argument.
    for ((i = 1; i < ${#typed[@]} - 1; i++)); do
        case ${typed[i]} in
        --socket) socket=(--socket "${typed[++i]}") ;;
        --socket=*) socket=("${typed[i]}") ;;
        -*) ;;
        *) words+=("${typed[i]}") ;;
        esac
    done
    COMPREPLY=()
    if [[ ${typed[-2]} == --socket ]]; then
        _pinion_files "$current" "$current"
        return
    fi
    if [[ $current == --socket=* ]]; then
        _pinion_files "$current" "${current#*=}"
        return
    fi
    if [[ $current == -* ]]; then
        case ${words[0]-} in
        ls | stat | doctor | addr) _pinion_words '--json --socket --help' ;;
        top) _pinion_words '--once --socket --help' ;;
        *) _pinion_words '--socket --help' ;;
        esac
        return
    fi
    case "${#words[@]} ${words[*]}" in
    '0 ') _pinion_words 'addr doctor ls member pool stat top' ;;
    '1 pool') _pinion_words 'create destroy grow retire' ;;
    '1 member') _pinion_words 'kick' ;;
    '1 addr' | '2 member kick' | '2 pool destroy' | '2 pool grow' | '2 pool retire')
        _pinion_pools "$current" "${socket[@]}"
        ;;
    esac
}

# Where hugetlbfs is mounted. The kernel writes space, tab, newline and backslash in octal, with three
# digits, of which printf wants up to four, the first a 0; a name with a newline is none that could be
# completed.
_hugepages_mounts() {
    local dir type
    while read -r _ dir type _; do
        [[ $type == hugetlbfs && $dir != *'\012'* ]] && printf '%b\n' "${dir//\\/\\0}"
    done </proc/self/mounts
}

_hugepages() {
    local current=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --size | --to) _pinion_words '2M 1G' ;;
    --node) _pinion_words "$(cd /sys/devices/system/node && echo node[0-9]* | sed 's/node//g')" ;;
    --as) _pinion_words 'unit tmpfiles sysctl none' ;;
    --uid) mapfile -t COMPREPLY < <(compgen -u -- "$current") ;;
    --gid) mapfile -t COMPREPLY < <(compgen -g -- "$current") ;;
    --save) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    --mountpoint) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    --count | --inodes | --limit | --mode | --pagesize) ;;
    *)
        if [[ $COMP_CWORD -eq 1 ]]; then
            _pinion_words 'clear demote explain info mount persist reap reserve restore setup unmount --help'
            return
        fi
        case ${COMP_WORDS[1]} in
        info) _pinion_words '--json' ;;
        explain) _pinion_words '--size' ;;
        reserve) _pinion_words '--dry-run --node --pages --save --shrink --size' ;;
        clear) _pinion_words '--dry-run --node --save --size' ;;
        demote) _pinion_words '--dry-run --node --pages --size --to' ;;
        persist) _pinion_words '--as --dry-run --node --pages --size' ;;
        setup) _pinion_words '--count --dry-run --shrink --size' ;;
        restore | reap) mapfile -t COMPREPLY < <(compgen -f -W '--dry-run' -- "$current") ;;
        mount) mapfile -t COMPREPLY < <(compgen -d -W '--dry-run --gid --inodes --limit --mode --size --uid' \
            -- "$current") ;;
        unmount)
            compopt -o filenames 2>/dev/null # they are quoted then
            _pinion_names < <(printf '%s\n' --dry-run --force; _hugepages_mounts)
            ;;
        esac
        ;;
    esac
}

# What devbind calls a device: addresses, disks and network interfaces that have one, classes.
_devbind_devices() {
    local path
    ls /sys/bus/pci/devices 2>/dev/null
    for path in /sys/class/net/*/device /sys/class/block/*/device; do
        [[ -e $path ]] && basename "${path%/device}"
    done
    printf 'class=%s\n' accelerator bridge display network nvme storage usb
}

# A colon is part of an address, and = of a class.
_devbind() {
    local line=${COMP_LINE:0:COMP_POINT} current
    current=${line##* }
    COMPREPLY=()
    if [[ $line != *' '*' '* ]]; then
        _pinion_words 'bind check forget list persist restore unbind --help'
    elif [[ $current == -* ]]; then
        case ${COMP_WORDS[1]} in
        bind) _pinion_words '--all --at-boot --driver --dry-run --force --group --help --owner' ;;
        list) _pinion_words '--all --help --json' ;;
        forget) _pinion_words '--all --dry-run --help' ;;
        persist) _pinion_words '--driver --dry-run --force --group --help' ;;
        check) _pinion_words '--all --driver --group --help' ;;
        restore | unbind) _pinion_words '--all --dry-run --force --group --help' ;;
        *) _pinion_words '--help' ;;
        esac
    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == --driver ]]; then
        _pinion_names < <(ls /sys/bus/pci/drivers 2>/dev/null)
    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == --owner ]]; then
        mapfile -t COMPREPLY < <(compgen -u -- "$current")
    else
        _pinion_names "$current" < <(_devbind_devices)
        _pinion_broken "$current"
    fi
}

complete -F _pinion pinion
complete -F _hugepages hugepages
complete -F _devbind devbind
