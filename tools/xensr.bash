# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of the xensr command for bash.

# The options of a command; those that want an argument end in =, which is not offered.
_xensr_options() {
	case $1 in
	info) echo --json --quiet --help ;;
	ls) echo --fields --json --help ;;
	verify) echo --checkpointed --quick --tee --json --quiet --help ;;
	cat) echo --pfn= --record= --checkpoint= --help ;;
	hexdump) echo --pfn= --checkpoint= --help ;;
	core) echo --format= --raw --checkpoint= --quiet --help ;;
	diff) echo --checkpoint-a= --checkpoint-b= --summary --quiet --json --help ;;
	pages) echo --plot --json --checkpoint= --quiet --help ;;
	*) # The others say themselves.
		"${COMP_WORDS[0]}" "$1" --help 2>/dev/null | grep -oE -- '--[a-z][a-z0-9-]*=?' | sort -u
		;;
	esac
}

_xensr() {
	local commands="info ls verify cat hexdump diff core convert checksum pages"
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]} options

	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$word")
		return
	fi
	options=$(_xensr_options "$command")
	case " ${options//$'\n'/ } " in
	*" $before= "*) return ;; # an argument that nobody can guess
	esac
	case $word in
	-*) mapfile -t COMPREPLY < <(compgen -W "${options//=/}" -- "$word") ;;
	*)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		;;
	esac
}

complete -F _xensr xensr
