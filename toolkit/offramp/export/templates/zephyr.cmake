# Zephyr's view of this tree: a library of its own where CONFIG_OFFRAMP is set.
if(CONFIG_OFFRAMP)
    include(${CMAKE_CURRENT_LIST_DIR}/../cmake/sources.cmake)
    zephyr_include_directories(${OFFRAMP_ROOT}/include)
    zephyr_library_named(offramp)
    zephyr_library_include_directories(${OFFRAMP_ROOT}/src)
    zephyr_library_sources(${OFFRAMP_SOURCES})
    offramp_flags()
endif()
